# Small PRNet measured on AFLW2000-3D, cropped twice as in use; from the true box, or from a detector's (where that finds
# no face, the whole picture is the crop): --cfg-options "test_dataset.pipeline=[{'type':'DetectedBox'}]"
_base_ = ["small.py"]

test_dataloader = None
test_dataset = dict(type="AFLW2000", folder="aflw2000_samples")
