# GAN2Shape's published settings for churches: a GAN of 256 pixels, and a plane nearer behind the ellipsoid.
_base_ = ["car.py"]

model = dict(
    category="church",
    prior_far=1.0,
    generator=dict(size=256, weights=dict(path="data/gan2shape/church_gan.pth")),
    discriminator=dict(size=256, weights=dict(path="data/gan2shape/church_gan.pth")),
)
