# What GAN2Shape's published settings share, as for celeba: networks and losses of 128 pixels, and the steps of a round.
_base_ = ["default_runtime.py"]

_size = 128
_auto = dict(type="ImageAutoencoder", size=_size, width=32)
_encoder = dict(type="ImageEncoder", size=_size, width=32)

model = dict(
    type="GAN2Shape",
    generator=dict(type="StyleGenerator",
                   size=128,
                   multiplier=1.0,
                   weights=dict(path="data/gan2shape/celeba_gan.pth", prefix="generator.")),
    discriminator=dict(type="StyleDiscriminator",
                       size=128,
                       multiplier=1.0,
                       weights=dict(path="data/gan2shape/celeba_gan.pth", prefix="discriminator.")),
    depth=dict(outputs=1, tanh=False, **_auto),
    albedo=dict(outputs=3, **_auto),
    view=dict(outputs=6, **_encoder),
    light=dict(outputs=4, **_encoder),
    latent_encoder=dict(type="ResidualEncoder", size=_size),
    # mean and deviation are replaced by those in the files; without files (weights=None) they are a guess
    view_prior=dict(type="LearnedGaussian",
                    mean=[0.0] * 6,
                    deviation=[0.08, 0.33, 0.05, 0.1, 0.1, 0.1],
                    weights=dict(path="data/gan2shape/celeba_view_mvn.pth")),
    light_prior=dict(type="LearnedGaussian",
                     mean=[0.0, 0.0, 0.0, 0.2],
                     deviation=[0.3] * 4,
                     weights=dict(path="data/gan2shape/celeba_light_mvn.pth")),
    samples=16,
    collected=100,
    masked=False,
    pseudo=dict(light_x=(-1.0, 1.0), light_y=(-0.2, 0.8), gain=(-0.1, 0.6), ambient=-0.6, view_scale=1.2),
    renderer=dict(type="DepthImageRenderer", size=_size),
    losses=dict(color=dict(type="MaskedL1Loss"),
                perceptual=dict(type="LPIPS", weight=0.5, weights=dict(path="data/vgg16-397923af.pth")),
                smoothness=dict(type="SmoothnessLoss", weight=0.01),
                features=dict(type="FeatureLoss"),
                latent=dict(type="LatentLoss", weight=0.01)),
)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-4, weight_decay=5e-4), fresh_each_stage=True)
default_hooks = dict(pictures=None, checkpoint=dict(minutes=10.0, keep=1))
test_evaluator = [dict(type="DepthImageMetrics")]

_pictures = dict(type="ObjectPictures", source="pictures", size=_size)
# for pictures without a latent; not the authors', who bring latents with the pictures
_inversion = dict(name="inversion", max_steps=1000, params=["latent"],
                  optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.02)))  # yapf: disable
_prior = dict(name="prior", max_steps=1000, params=["depth.*"])
_appearance = dict(name="appearance", params=["albedo.*"])
_mirrored_appearance = dict(_appearance, name="mirrored_appearance")
_projection = dict(name="projection", params=["latent_encoder.*"])
_shape = dict(name="shape", params=["depth.*", "albedo.*", "view.*", "light.*"])
_mirrored_shape = dict(_shape, name="mirrored_shape")
