# The paper's ablation: the colour network gets no geometry features, only point and normal.
_base_ = ["dtu_fixed_cameras.py"]

model = dict(geometry=dict(features=0), radiance=dict(features=0))
