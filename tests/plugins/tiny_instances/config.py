# One run for each picture of a folder.
custom_imports = dict(imports=["tiny_instances"])

model = dict(type="WaveFit", backbone=dict(type="Pixels"), losses=dict(pixel=dict(type="PixelError")))
instances = dict(dataset=dict(type="Waves", folder="waves"), workers=2)
train_cfg = dict(stages=[dict(name="coarse", max_steps=40), dict(name="fine", max_steps=60)])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.2))
test_evaluator = [dict(type="WaveError")]
default_hooks = dict(log=dict(interval=20), checkpoint=dict(steps=5, minutes=None))
