# The generated head's painted hull: `deep3dmap demo --config configs/hull/generated_head.py`.
_base_ = ["hull.py", "../_base_/datasets/generated_head.py"]

train_dataset = dict(_delete_=True, type="TrainingViews")
