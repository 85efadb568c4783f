# The intercept first, with the slope at rest; then both.
custom_imports = dict(imports=["line_fit"])

model = dict(type="LineFit",
             backbone=dict(type="Line"),
             losses=dict(fit=dict(type="SquaredError"), flat=dict(type="SmallSlope", weight=1e-4)),
             input_keys=dict(x="position", y="height"))
train_dataloader = dict(dataset=dict(type="NoisyLine", slope=2.0, intercept=-1.0), batch_size=8)
train_cfg = dict(stages=[
    dict(name="intercept", max_epochs=20, params=["*.intercept"], losses=["fit"]),
    dict(name="train", max_steps=150),
])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=0.05))
default_hooks = dict(log=dict(type="LogHook", interval=10, seconds=0.0))
