# PRNet for two cores: maps of 128 pixels, half the published network's channels, synthetic faces. The shipped weights.
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/synthetic_faces.py"]

model = dict(
    type="PRNet",
    backbone=dict(type="PosedResFCN", size=16, resolution=128),
    layout="ict",
    losses=dict(position=dict(type="PositionMapLoss", layout="ict", size=128)),
    input_keys=dict(image="img", position_map="target", crop="crop"),
)
optim_wrapper = dict(backbone=dict(optimizer=dict(type="Adam", lr=2e-3), average=0.999))
param_scheduler = dict(backbone=dict(type="ProgressLR", decay=0.02, warmup=200))
train_cfg = dict(type="StagedTrainLoop", max_steps=24_000)
val_cfg = dict(every_steps=2_000, best="nme68")
default_hooks = dict(log=dict(interval=50), checkpoint=dict(minutes=5.0), pictures=None)
test_cfg = dict(resolution=0)
test_evaluator = [dict(type="FaceNME")]
