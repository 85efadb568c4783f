# GAN2Shape for two cores: one run a picture, 64 pixels, half of the published channels, two rounds of the three steps.
# The GAN is the one of faces that comes with the package; another one: `reconstruct --gan`, or other `weights`, such as a
# checkpoint of configs/stylegan2/faces_64.py or a converted one.
_base_ = ["../_base_/default_runtime.py"]

_size, _style = 64, 256
_gan = dict(size=_size, multiplier=0.5, width=0.25)
_auto = dict(type="ImageAutoencoder", size=_size, width=32, code=128)
_encoder = dict(type="ImageEncoder", size=_size, width=32)
_shape = dict(max_steps=200, params=["depth.*", "albedo.*", "view.*", "light.*"])

model = dict(
    type="GAN2Shape",
    generator=dict(type="StyleGenerator",
                   style=_style,
                   mapping=4,
                   weights=dict(path="zoo:faces_64", prefix="generator."),
                   **_gan),
    discriminator=dict(type="StyleDiscriminator", weights=dict(path="zoo:faces_64", prefix="discriminator."), **_gan),
    depth=dict(outputs=1, tanh=False, **_auto),
    albedo=dict(outputs=3, **_auto),
    view=dict(outputs=6, **_encoder),
    light=dict(outputs=4, **_encoder),
    latent_encoder=dict(type="ResidualEncoder", outputs=_style, size=_size, width=16),
    # views in units of 60 degrees and a tenth of the depth; turns of 20 degrees about y, of 5 about x and 3 about z
    view_prior=dict(type="LearnedGaussian", mean=[0.0] * 6, deviation=[0.08, 0.33, 0.05, 0.1, 0.1, 0.1]),
    light_prior=dict(type="LearnedGaussian", mean=[0.0, 0.0, 0.0, 0.2], deviation=[0.3] * 4),
    category="face",
    samples=8,
    collected=20,
    renderer=dict(type="DepthImageRenderer", size=_size),
    # perceptual=dict(type="LPIPS", weight=0.5, weights=dict(path="vgg16-397923af.pth")) is the published method's
    losses=dict(color=dict(type="MaskedL1Loss"),
                smoothness=dict(type="SmoothnessLoss", weight=0.01),
                features=dict(type="FeatureLoss"),
                latent=dict(type="LatentLoss", weight=0.01)),
)
instances = dict(dataset=dict(type="ObjectPictures", source="pictures", size=_size), workers=1)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-4, weight_decay=5e-4), fresh_each_stage=True)
train_cfg = dict(type="StagedTrainLoop",
                 stages=[
                     dict(name="inversion", max_steps=300, params=["latent"],
                          optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.02))),
                     dict(name="prior", max_steps=1000, params=["depth.*"]),
                     dict(name="appearance", max_steps=300, params=["albedo.*"]),
                     dict(name="projection", max_steps=300, params=["latent_encoder.*"]),
                     dict(name="mirrored_shape", **_shape),
                     dict(name="appearance", max_steps=100, params=["albedo.*"]),
                     dict(name="projection", max_steps=250, params=["latent_encoder.*"]),
                     dict(name="shape", **_shape),
                 ])  # yapf: disable
default_hooks = dict(pictures=None)
test_evaluator = [dict(type="DepthImageMetrics")]
