# A few meshes, as exactly as possible, in minutes on two cores. Samples: `deep3dmap prepare sdf-samples MESHES data/meshes`
_base_ = ["small.py"]

train_cfg = dict(type="StagedTrainLoop", max_steps=6000)
train_dataset = dict(type="SDFShapes", root="data/meshes", shapes=6, samples=1024)
test_dataset = dict(type="SDFTestShapes", root="data/meshes")
