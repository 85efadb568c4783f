# One run for each picture of a folder.
custom_imports = dict(imports=["tiny_instances"])

model = dict(type="WaveFit", backbone=dict(type="WavePixels"), losses=dict(pixel=dict(type="WaveLoss")))
instances = dict(dataset=dict(type="WaveFolder", folder="waves"), workers=2)
train_cfg = dict(stages=[dict(name="coarse", max_steps=15), dict(name="fine", max_steps=25)])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.2))
test_evaluator = [dict(type="WaveError")]
default_hooks = dict(log=dict(interval=20), checkpoint=dict(steps=5, minutes=None))
