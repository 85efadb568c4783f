# synthetic_faces.py without step 2: the encoder of latents stays as it is drawn.
_base_ = ["synthetic_faces.py"]

train_cfg = dict(stages=[stage for stage in _base_.train_cfg.stages if stage["name"] != "projection"])
