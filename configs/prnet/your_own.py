# Your own pictures: `deep3dmap reconstruct PICTURE, FOLDER or VIDEO --method prnet`.
_base_ = ["small.py"]

test_dataloader = None
test_dataset = dict(type="FacePhotos", source="path of your data")
test_cfg = dict(resolution=256)  # 0: landmarks, vertices and position map only
test_evaluator = []
