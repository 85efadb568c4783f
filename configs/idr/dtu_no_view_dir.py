# The paper's ablation: the colour network does not see the viewing direction.
_base_ = ["dtu_fixed_cameras.py"]

model = dict(radiance=dict(mode="no_view_dir", view_frequencies=0))
