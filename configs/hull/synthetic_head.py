# The synthetic head's painted hull: `deep3dmap demo --config configs/hull/synthetic_head.py`.
_base_ = ["hull.py", "../_base_/datasets/synthetic_head.py"]

train_dataset = dict(_delete_=True, type="TrainingViews")
