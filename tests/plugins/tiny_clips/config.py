# Each clip by itself; then clips in their order, with the estimates of those before.
custom_imports = dict(imports=["tiny_clips"])

_many = [4, 9, 6, 11, 7, 5, 10, 8] * 3
model = dict(type="TinyClips", backbone=dict(type="Gain"), losses=dict(level=dict(type="LevelError")))
train_dataloader = dict(batch_size=8, dataset=dict(type="Levels", lengths=_many))
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.05))
train_cfg = dict(stages=[dict(name="clips", max_epochs=2), dict(name="sequences", max_epochs=3)])
val_cfg = dict(every_steps=25, best="off")
val_dataloader = dict(dataset=dict(type="Levels", lengths=_many, seed=1))
test_dataloader = dict(dataset=dict(type="Levels", lengths=_many, seed=2))
test_evaluator = [dict(type="LevelOff")]
default_hooks = dict(log=dict(interval=5), checkpoint=dict(minutes=None))
