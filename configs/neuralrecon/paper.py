# The paper's training, on ScanNet: pictures of 640x480, voxels of 4 cm, single fragments first. First
# `deep3dmap prepare rgbd ScanNet/train -o data/scannet` and the same with ScanNet/val.
_base_ = ["../_base_/default_runtime.py"]

_space = dict(size=(96, 96, 96), voxel_size=0.04)
_test = dict(type="Fragments", recording="ScanNet/val")

model = dict(
    type="NeuralRecon",
    backbone2d=dict(type="MnasMulti"),
    backbone3d=dict(type="SparseUNet", channels=(96, 48, 24)),
    losses=dict(occupancy=dict(type="OccupancyLoss", pos_weight=1.5), tsdf=dict(type="LogL1Loss")),
    **_space,
)
train_dataloader = dict(num_workers=8,
                        dataset=dict(type="Fragments",
                                     recording="ScanNet/train",
                                     prepared="data/scannet",
                                     pipeline=[dict(type="RandomSpace", **_space)]))
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3), clip_grad=dict(max_norm=1.0))
param_scheduler = dict(type="MultiStepLR", milestones=[12, 24, 48], gamma=0.5, by_epoch=True)
train_cfg = dict(type="StagedTrainLoop", stages=[dict(name="fragments", max_epochs=20), dict(name="fusion", max_epochs=30)])
val_cfg = dict(every_steps=10_000, best="f_score@0.05", resolution=256)
val_dataset = _test
val_evaluator = [dict(type="RoomMetrics")]
test_dataset = _test
test_evaluator = [dict(type="RoomMetrics")]
default_hooks = dict(pictures=None)
