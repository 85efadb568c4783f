# The temple's mesh, fitted to 14 photographs.
_base_ = ["mesh_fit.py", "../_base_/datasets/temple_sparse_ring.py"]

train_dataset = dict(_delete_=True, type="TrainingViews", views=3)
