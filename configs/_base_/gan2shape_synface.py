# What GAN2Shape's published settings for rendered faces share: 64 pixels, other lights, all layers of the mapping network.
_base_ = ["gan2shape.py"]

_size = 64
_networks = dict(size=_size, width=64)

model = dict(
    category="synface",
    crop=(256, 170),
    tail=8,
    generator=dict(weights=dict(path="data/gan2shape/synface_gan.pth")),
    discriminator=dict(weights=dict(path="data/gan2shape/synface_gan.pth")),
    depth=_networks,
    albedo=_networks,
    view=_networks,
    light=_networks,
    latent_encoder=dict(size=_size),
    view_prior=dict(weights=dict(path="data/gan2shape/synface_view_mvn.pth")),
    light_prior=dict(weights=dict(path="data/gan2shape/synface_light_mvn.pth")),
    pseudo=dict(light_x=(-0.9, 0.9), light_y=(-0.3, 0.8), gain=(-0.1, 0.7), ambient=-0.4),
    renderer=dict(size=_size),
)
_pictures = dict(size=_size, crop=170)
