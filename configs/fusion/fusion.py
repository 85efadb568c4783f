# Depth maps fused into a TSDF in sparse blocks. Nothing is trained: a step fuses a block of frames. The configs on top give
# the recording.
_base_ = ["../_base_/default_runtime.py"]

model = dict(type="Fusion", voxel_size=0.04, truncation=3.0, max_depth=5.0, min_weight=2.0)
optim_wrapper = dict()  # nothing moves
train_cfg = dict(type="StagedTrainLoop", max_epochs=1)
default_hooks = dict(pictures=None)
test_evaluator = [dict(type="SurfaceMetrics"), dict(type="RoomMetrics", every=10)]
