# GAN2Shape's published settings for cars, with masks and a GAN of 512 pixels; nothing is pre-trained.
_base_ = ["../_base_/gan2shape.py"]

model = dict(
    category="car",
    samples=8,
    masked=True,
    relative=False,
    pseudo=dict(view_scale=1.0),
    generator=dict(size=512, multiplier=2.0, weights=dict(path="data/gan2shape/car_gan.pth")),
    discriminator=dict(size=512, multiplier=2.0, weights=dict(path="data/gan2shape/car_gan.pth")),
    view_prior=dict(weights=dict(path="data/gan2shape/view_mvn.pth")),
    light_prior=dict(weights=dict(path="data/gan2shape/light_mvn.pth")),
)
instances = dict(dataset=_base_._pictures, workers=1)

_first = [dict(_base_._appearance, max_steps=700), dict(_base_._projection, max_steps=700),
          dict(_base_._shape, max_steps=600)]  # yapf: disable
_later = [dict(_base_._appearance, max_steps=200), dict(_base_._projection, max_steps=500),
          dict(_base_._shape, max_steps=400)]  # yapf: disable
train_cfg = dict(type="StagedTrainLoop", stages=[_base_._inversion, _base_._prior, *_first, *3 * _later])
