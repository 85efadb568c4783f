# The red kitchen of 7-Scenes, 200 frames: `deep3dmap train configs/fusion/redkitchen.py`.
_base_ = ["fusion.py"]

model = dict(voxel_size=0.02)
train_dataset = dict(type="RecordingFrames", recording="seven_scenes_redkitchen")
test_dataset = dict(type="RecordingItem", recording="seven_scenes_redkitchen")
