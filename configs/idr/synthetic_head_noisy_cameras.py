# The synthetic head from cameras that are two degrees off, and get better with the surface; minutes on a CPU.
_base_ = ["small.py", "../_base_/datasets/synthetic_head.py"]

scene = dict(capture=dict(camera_noise=2.0))
model = dict(train_cameras=True)
train_cfg = dict(type="StagedTrainLoop",
                 max_minutes=6.0,
                 average=0.995,
                 stages=[
                     dict(name="fit_sdf",
                          max_steps=300,
                          max_share=0.2,
                          params=["geometry.*"],
                          optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
                          train_dataset=dict(type="HullDistances", tolerance=2)),
                     dict(name="train"),
                 ])
optim_wrapper = dict(_delete_=True,
                     rest=dict(optimizer=dict(type="Adam", lr=2e-3)),
                     cameras=dict(optimizer=dict(type="SparseAdam", lr=1e-3)))
