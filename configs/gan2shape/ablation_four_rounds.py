# synthetic_faces.py with four rounds of the three steps.
_base_ = ["synthetic_faces.py"]

train_cfg = dict(stages=[*_base_.train_cfg.stages, *_base_.train_cfg.stages[-5:] * 2])
