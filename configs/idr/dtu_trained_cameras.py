# The paper's trained cameras: they start from a linear method's noisy ones and move with the surface.
_base_ = ["dtu_fixed_cameras.py"]

scene = dict(reader=dict(cameras="cameras_linear_init.npz", true_cameras="cameras.npz"))
model = dict(train_cameras=True)
optim_wrapper = dict(_delete_=True,
                     rest=dict(optimizer=dict(type="Adam", lr=1e-4)),
                     cameras=dict(optimizer=dict(type="SparseAdam", lr=1e-4)))
param_scheduler = dict(_delete_=True, rest=dict(type="MultiStepLR", milestones=[1000, 1500], gamma=0.5))
