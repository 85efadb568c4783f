# No custom_imports: the installed distribution registers its parts.
model = dict(type="TinyGAN", generator=dict(type="Shift"), discriminator=dict(type="Judge"))
train_dataset = dict(type="Numbers", mean=3.0)
train_cfg = dict(stages=[
    dict(name="judge",
         max_steps=50,
         params=["discriminator.*"],
         optim_wrapper=dict(discriminator=dict(optimizer=dict(type="Adam", lr=0.01)))),
    dict(name="play",
         max_epochs=30,
         optim_wrapper=dict(generator=dict(optimizer=dict(type="Adam", lr=0.02, betas=(0.5, 0.9))),
                            discriminator=dict(optimizer=dict(type="Adam", lr=0.02, betas=(0.5, 0.9))))),
])
default_hooks = dict(log=dict(type="LogHook", interval=10, seconds=0.0))
