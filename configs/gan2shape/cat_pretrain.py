# GAN2Shape's published settings for joint pre-training on many cats' faces, whose latents are given.
_base_ = ["celeba_pretrain.py"]

model = dict(
    category="cat",
    crop=(256, 170),
    generator=dict(size=256, weights=dict(path="data/gan2shape/cat_gan.pth")),
    discriminator=dict(size=256, weights=dict(path="data/gan2shape/cat_gan.pth")),
    view_prior=dict(weights=dict(path="data/gan2shape/cat_view_mvn.pth")),
    light_prior=dict(weights=dict(path="data/gan2shape/cat_light_mvn.pth")),
)
train_dataset = dict(dataset=dict(crop=170))
test_dataloader = dict(dataset=dict(crop=170))
