# GAN2Shape's published settings for cats' faces: a GAN of 256 pixels, whose middle is shown.
_base_ = ["celeba.py"]

model = dict(
    category="cat",
    crop=(256, 170),
    weights=dict(path="data/gan2shape/cat_pretrain.pth"),
    generator=dict(size=256, weights=dict(path="data/gan2shape/cat_gan.pth")),
    discriminator=dict(size=256, weights=dict(path="data/gan2shape/cat_gan.pth")),
    view_prior=dict(weights=dict(path="data/gan2shape/cat_view_mvn.pth")),
    light_prior=dict(weights=dict(path="data/gan2shape/cat_light_mvn.pth")),
)
instances = dict(dataset=dict(crop=170))
