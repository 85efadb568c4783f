# A space of heads in minutes on two cores. `deep3dmap prepare ict_heads data/ict_heads`
_base_ = ["small.py"]

train_cfg = dict(type="StagedTrainLoop", max_minutes=6.0)
train_dataset = dict(type="SDFShapes", root="data/ict_heads", split="splits/ict_heads_train_400.json", shapes=16, samples=1024)
test_dataset = dict(type="SDFTestShapes",
                    root="data/ict_heads",
                    split="splits/ict_heads_test.json",
                    meshes="data/ict_heads/meshes/ict_heads")
