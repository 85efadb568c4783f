# The visual hull painted with the photographs' colours. Nothing is trained: one step carves and paints. A data set is added by
# the configs on top.
_base_ = ["../_base_/default_runtime.py"]

model = dict(type="Hull", resolution=256, tolerance=0, blend="mean", power=2.0)
optim_wrapper = dict()  # nothing moves
train_cfg = dict(type="StagedTrainLoop", max_steps=1)
