# Your own recording with depth maps and poses: `deep3dmap reconstruct RECORDING --method fusion`.
_base_ = ["fusion.py"]

train_dataset = dict(type="RecordingFrames", recording="path of your recording", every=1)
test_dataset = dict(type="RecordingItem", recording="path of your recording", every=1)
