# GAN2Shape's published settings for aligned photographs of faces, from networks of celeba_pretrain.py or the authors'.
# Without such a file: model.weights=None train_cfg.stages.1.max_steps=1000
_base_ = ["../_base_/gan2shape.py"]

model = dict(weights=dict(path="data/gan2shape/celeba_pretrain.pth"))
instances = dict(dataset=_base_._pictures, workers=1)

_first = [dict(_base_._appearance, max_steps=600), dict(_base_._projection, max_steps=600),
          dict(_base_._mirrored_shape, max_steps=400)]  # yapf: disable
_later = [dict(_base_._appearance, max_steps=200), dict(_base_._projection, max_steps=500),
          dict(_base_._shape, max_steps=300)]  # yapf: disable
train_cfg = dict(type="StagedTrainLoop", stages=[_base_._inversion, dict(_base_._prior, max_steps=0), *_first, *3 * _later])
