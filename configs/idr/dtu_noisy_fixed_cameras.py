# The paper's ablation: a linear method's noisy cameras, taken as they are.
_base_ = ["dtu_fixed_cameras.py"]

scene = dict(reader=dict(cameras="cameras_linear_init.npz", true_cameras="cameras.npz"))
