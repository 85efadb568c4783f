# Your own photographs with cameras and masks: `deep3dmap reconstruct FOLDER --method mesh`.
_base_ = ["mesh_fit.py"]

scene = dict(capture="path or name of your data")
train_dataset = dict(type="TrainingViews", views=3)
test_dataset = dict(type="Views", split="all", train_views=2)
