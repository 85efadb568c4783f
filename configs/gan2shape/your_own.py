# Your own photographs of faces: `deep3dmap reconstruct PICTURE_OR_FOLDER --method gan2shape`.
_base_ = ["small.py"]

instances = dict(_delete_=True, dataset=dict(type="AlignedPhotos", source="path of your data", size=64), workers=2)
test_evaluator = []
