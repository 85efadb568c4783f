# The quick start: the synthetic head in a few minutes on two cores.
_base_ = ["small.py", "../_base_/datasets/synthetic_head.py", "../_base_/schedules/hull_start.py"]

train_cfg = dict(max_minutes=4.0)
