# The paper's training: the authors' network, position maps of 300W-LP from a Basel model that you have (docs/prnet.md).
_base_ = ["../_base_/default_runtime.py"]

_random = [
    dict(type="RandomFaceBox", shift=0.1, scale=(0.9, 1.2), rotation=45),
    dict(type="RandomPhotometry"),
    dict(type="RandomOcclusion", prob=0.3)
]
_faces = dict(type="W300LP", folder="300W_LP", model="BFM")

model = dict(
    type="PRNet",
    backbone=dict(type="ResFCN"),
    layout="bfm",
    losses=dict(position=dict(type="PositionMapLoss", layout="bfm")),
    input_keys=dict(image="img", position_map="target", crop="crop"),
)
train_dataloader = dict(batch_size=16, num_workers=8, dataset=dict(pipeline=[*_random, dict(type="PackFace")], **_faces))
optim_wrapper = dict(backbone=dict(optimizer=dict(type="Adam", lr=1e-4), average=0.999))
param_scheduler = dict(backbone=dict(type="StepLR", step_size=5, gamma=0.5, by_epoch=True))
train_cfg = dict(type="StagedTrainLoop", max_epochs=30)
val_cfg = dict(every_steps=7_653, best="nme68")  # an epoch
val_dataloader = dict(batch_size=16, dataset=dict(type="AFLW2000", folder="AFLW2000", pipeline=[dict(type="PackFace")]))
val_evaluator = [dict(type="FaceNME", layout="bfm")]
test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(resolution=0)
