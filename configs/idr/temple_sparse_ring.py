# The temple from 14 photographs in 20 minutes on two cores.
_base_ = ["small.py", "../_base_/datasets/temple_sparse_ring.py", "../_base_/schedules/hull_start.py"]
