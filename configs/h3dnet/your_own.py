# A head from your own photographs with cameras and masks: `deep3dmap reconstruct FOLDER --method h3dnet`
_base_ = ["small.py"]

scene = dict(capture="path or name of your data")
train_dataset = dict(type="RayBatches", rays=1024, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=3)
