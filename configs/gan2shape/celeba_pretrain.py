# GAN2Shape's published settings for joint pre-training on many photographs of faces, whose latents are given.
_base_ = ["../_base_/gan2shape.py"]

model = dict(joint=True, samples=8, collected=800)
train_dataset = dict(type="EachItemBatches", dataset=_base_._pictures)
test_dataloader = dict(batch_size=1, dataset=_base_._pictures)

_first = [dict(_base_._appearance, max_steps=1500), dict(_base_._projection, max_steps=1500),
          dict(_base_._mirrored_shape, max_steps=1500)]  # yapf: disable
_later = [dict(_base_._mirrored_appearance, max_steps=700), dict(_base_._projection, max_steps=1000),
          dict(_base_._mirrored_shape, max_steps=1000)]  # yapf: disable
train_cfg = dict(type="StagedTrainLoop", stages=[_base_._prior, *_first, *3 * _later])
