# GAN2Shape's published settings for rendered faces with true depth, from networks of synface_pretrain.py or the authors': one
# round. Without such a file: model.weights=None train_cfg.stages.1.max_steps=1000
_base_ = ["../_base_/gan2shape_synface.py"]

model = dict(weights=dict(path="data/gan2shape/synface_pretrain.pth"))
instances = dict(dataset=_base_._pictures, workers=1)
_round = [dict(_base_._appearance, max_steps=500), dict(_base_._projection, max_steps=500),
          dict(_base_._mirrored_shape, max_steps=200)]  # yapf: disable
train_cfg = dict(type="StagedTrainLoop", stages=[_base_._inversion, dict(_base_._prior, max_steps=0), *_round])
