# The synthetic head's mesh, fitted to 16 photographs.
_base_ = ["mesh_fit.py", "../_base_/datasets/synthetic_head.py"]

train_dataset = dict(_delete_=True, type="TrainingViews", views=4)
