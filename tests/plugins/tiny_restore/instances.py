# One run for each picture of a file.
custom_imports = dict(imports=["tiny_restore"])

model = dict(type="PictureFit", backbone=dict(type="LearntPixels"), losses=dict(pixels=dict(type="PixelError")))
instances = dict(dataset=dict(type="Waves", count=3, pipeline=[dict(type="PackNoisy")]), workers=2)
train_cfg = dict(stages=[dict(name="coarse", max_steps=15), dict(name="fine", max_steps=25)])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.2))
test_evaluator = [dict(type="PicturePSNR")]
default_hooks = dict(log=dict(interval=20), checkpoint=dict(steps=10, minutes=None))
