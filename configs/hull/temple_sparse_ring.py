# The temple's painted hull from 14 photographs.
_base_ = ["hull.py", "../_base_/datasets/temple_sparse_ring.py"]

train_dataset = dict(_delete_=True, type="TrainingViews")
