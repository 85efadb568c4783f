# Your own photographs with cameras and masks: `deep3dmap reconstruct FOLDER --method hull`.
_base_ = ["hull.py"]

scene = dict(capture="path or name of your data")
train_dataset = dict(type="TrainingViews")
test_dataset = dict(type="Views", split="all", train_views=2)
