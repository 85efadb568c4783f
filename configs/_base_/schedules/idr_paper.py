# The paper's: 2000 passes through all views, one view a step; learning rate halved twice.
train_cfg = dict(type="StagedTrainLoop", max_epochs=2000)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = dict(type="MultiStepLR", milestones=[1000, 1500], gamma=0.5)
