# No custom_imports: the installed distribution registers its parts.
model = dict(type="TinyGAN", generator=dict(type="Shift"), discriminator=dict(type="Judge"))
train_dataset = dict(type="Numbers", mean=3.0)
train_cfg = dict(stages=[
    dict(name="judge", max_steps=50, params=["discriminator.*"]),
    dict(name="play", max_epochs=30),
    dict(name="settle", max_steps=20, params=["generator.*"]),
])
optim_wrapper = dict(  # they live on through the stages
    generator=dict(optimizer=dict(type="Adam", lr=0.02, betas=(0.5, 0.9)), average=0.9, schedule=dict(factor=0.5, every=200)),
    discriminator=dict(optimizer=dict(type="Adam", lr=0.02, betas=(0.5, 0.9))),
)
val_cfg = dict(every_steps=50, best="off")
val_dataloader = dict(dataset=dict(type="Noise", count=50), batch_size=20)
test_dataloader = dict(dataset=dict(type="Noise"), batch_size=64)
test_evaluator = [dict(type="Moments")]
default_hooks = dict(log=dict(type="LogHook", interval=10, seconds=0.0))
