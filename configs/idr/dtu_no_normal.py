# The paper's ablation: the colour network does not see the normal.
_base_ = ["dtu_fixed_cameras.py"]

model = dict(radiance=dict(mode="no_normal"))
