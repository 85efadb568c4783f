# A space of heads in minutes on two cores. `deep3dmap prepare ict-heads data/ict_heads`
_base_ = ["small.py"]

model = dict(step_chunk=None, fit=dict(iterations=300))
train_cfg = dict(type="StagedTrainLoop", max_steps=6000)
train_dataset = dict(type="SDFShapes", root="data/ict_heads", split="splits/ict_heads_train_400.json", shapes=16, samples=256)
test_dataset = dict(type="SDFTestShapes",
                    root="data/ict_heads",
                    split="splits/ict_heads_test.json",
                    meshes="data/ict_heads/meshes/ict_heads")
