# The authors' schedule for one class of ShapeNet: 2001 epochs, both rates halved every 500.
train_cfg = dict(type="StagedTrainLoop", max_epochs=2001)
optim_wrapper = dict(decoder=dict(optimizer=dict(type="Adam", lr=5e-4)), codes=dict(optimizer=dict(type="Adam", lr=1e-3)))
param_scheduler = dict(decoder=dict(type="ProgressLR", schedule=dict(start=1.0, factor=0.5, every=500, first=1)),
                       codes=dict(type="ProgressLR", schedule=dict(start=1.0, factor=0.5, every=500, first=1)))
