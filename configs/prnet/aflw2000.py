# Small PRNet measured on AFLW2000-3D, cropped twice as in use; from the true box, or with --cfg-options
# 'test_dataset.pipeline=[dict(type="DetectedBox")]' from a detector's.
_base_ = ["small.py"]

test_dataloader = None
test_dataset = dict(type="AFLW2000", folder="aflw2000_samples")
