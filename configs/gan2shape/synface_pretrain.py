# GAN2Shape's published settings for joint pre-training on many rendered faces, whose latents are given: eight rounds.
_base_ = ["../_base_/gan2shape_synface.py"]

model = dict(joint=True, samples=12, collected=1000)
train_dataset = dict(type="EachItemBatches", dataset=_base_._pictures)
test_dataloader = dict(batch_size=1, dataset=_base_._pictures)

_first = [dict(_base_._appearance, max_steps=1500), dict(_base_._projection, max_steps=1500),
          dict(_base_._mirrored_shape, max_steps=1500)]  # yapf: disable
_later = [dict(_base_._mirrored_appearance, max_steps=700), dict(_base_._projection, max_steps=1000),
          dict(_base_._mirrored_shape, max_steps=1000)]  # yapf: disable
train_cfg = dict(type="StagedTrainLoop", stages=[_base_._prior, *_first, *7 * _later])
