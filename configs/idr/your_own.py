# Your own photographs with cameras and masks: `deep3dmap reconstruct FOLDER`, or set scene.capture to the folder.
_base_ = ["small.py", "../_base_/schedules/hull_start.py"]

scene = dict(capture="path or name of your data")
train_dataset = dict(type="RayBatches", rays=2048, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=2)
