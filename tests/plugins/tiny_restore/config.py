# Items with a pipeline: turned over by mmcv's transform, then made noisy by the method's own.
custom_imports = dict(imports=["tiny_restore"])

_pack = dict(type="PackNoisy", noise=0.2)
model = dict(type="TinyRestore",
             backbone=dict(type="Denoiser"),
             losses=dict(pixels=dict(type="PixelError")),
             input_keys=["noisy", "clean"])
train_dataloader = dict(batch_size=8, dataset=dict(type="Waves", pipeline=[dict(type="mmcv.RandomFlip", prob=0.5), _pack]))
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.01), average=0.9)
train_cfg = dict(max_steps=120)
val_cfg = dict(every_steps=40, best="psnr")
val_dataloader = dict(batch_size=8, dataset=dict(type="Waves", count=12, seed=1, pipeline=[_pack]))
test_dataloader = dict(batch_size=5, dataset=dict(type="Waves", count=12, seed=2, pipeline=[_pack]))
test_evaluator = [dict(type="PicturePSNR")]
default_hooks = dict(log=dict(interval=10), checkpoint=dict(steps=4, keep=0, minutes=None))
