# Fit the distance network to the visual hull, then train; within minutes rather than steps.
train_cfg = dict(type="StagedTrainLoop",
                 max_minutes=20.0,
                 average=0.995,
                 stages=[
                     dict(name="fit_sdf",
                          max_steps=500,
                          max_share=0.2,
                          params=["geometry.*"],
                          train_dataset=dict(type="HullDistances")),
                     dict(name="train"),
                 ])
