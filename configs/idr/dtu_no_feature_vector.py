# The paper's ablation: the colour network is told nothing of the geometry but point and normal.
_base_ = ["dtu_fixed_cameras.py"]

model = dict(geometry=dict(features=0), radiance=dict(features=0))
