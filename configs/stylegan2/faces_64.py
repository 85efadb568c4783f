# StyleGAN2 for two cores: synthetic faces of 64 pixels, a quarter of the published channels, an eighth of them at 64 pixels.
_base_ = ["../_base_/default_runtime.py"]

_channels = dict(size=64, multiplier=0.5, width=0.25)
_faces = dict(type="AlignedFaces", size=64, cache="data/aligned_faces")

model = dict(
    type="StyleGAN2",
    generator=dict(type="StyleGenerator", style=256, mapping=4, **_channels),
    discriminator=dict(type="StyleDiscriminator", **_channels),
    r1_weight=0.0002 * 64**2 / 16,  # by pixels and batch (Karras et al., NeurIPS 2020, appendix C)
    input_keys=dict(images="img"),
)
train_dataloader = dict(batch_size=16, num_workers=1, drop_last=True, dataset=dict(split="train", count=10_000, **_faces))
# rates and decays of 2e-3 and 0.99, to the power of the share of steps without regularisation
optim_wrapper = dict(
    generator=dict(optimizer=dict(type="Adam", lr=2e-3 * 4 / 5, betas=(0.0, 0.99**(4 / 5))), average=0.998),
    discriminator=dict(optimizer=dict(type="Adam", lr=2e-3 * 16 / 17, betas=(0.0, 0.99**(16 / 17)))),
)
train_cfg = dict(type="StagedTrainLoop", max_steps=12_000)
val_cfg = dict(every_steps=4_000, best="frechet_efficientnet")
val_dataloader = dict(batch_size=32, dataset=dict(split="validation", **_faces))
default_hooks = dict(log=dict(interval=20), checkpoint=dict(minutes=5.0), pictures=dict(minutes=5.0))
test_cfg = dict(resolution=0)
test_evaluator = [dict(type="FrechetDistance")]
test_dataloader = dict(batch_size=32, dataset=dict(split="test", **_faces))
