# The temple from 14 photographs in 20 minutes on two cores.
_base_ = ["small.py", "../_base_/datasets/temple_sparse_ring.py", "../_base_/schedules/hull_start.py"]

# The lamp was fixed to the camera's arm, so shading depends on the normal in the camera's frame, not on the view direction.
# Behind the temple it was black.
model = dict(radiance=dict(mode="no_view_dir", view_frequencies=0, camera_light=True), background=0.0)
