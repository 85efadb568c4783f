# H3D-Net for two cores: IDR's small parts, but for the geometry, which is the shipped prior of heads.
_base_ = ["../idr/small.py"]

model = dict(
    type="H3DNet",
    geometry=dict(_delete_=True, type="PlacedHead", prior="ict_heads", features=64),
    losses=dict(_delete_=True,
                rgb=dict(type="ColorLoss", weight=1.0),
                eikonal=dict(type="EikonalLoss", weight=0.1),
                mask=dict(type="MaskLoss", weight=100.0, alpha=[200, 800, 1600]),
                code=dict(type="LatentLoss", weight=0.01)),
)
_adam, _pose = dict(type="Adam", lr=1e-3), {"geometry": dict(lr_mult=0.3)}
train_cfg = dict(type="StagedTrainLoop",
                 max_minutes=4.0,
                 average=0.995,
                 stages=[
                     dict(name="colors", max_share=0.25, params=["radiance.*"], losses=["rgb"]),
                     dict(name="code",
                          max_share=0.45,
                          params=["geometry.latent", "geometry.delta_*", "radiance.*"],
                          losses=["rgb", "mask", "code"],
                          optim_wrapper=dict(optimizer=_adam,
                                             paramwise_cfg=dict(custom_keys={"geometry.latent": dict(lr_mult=3.0)} | _pose))),
                     dict(name="train",
                          optim_wrapper=dict(optimizer=_adam,
                                             paramwise_cfg=dict(custom_keys={"geometry.decoder": dict(lr_mult=0.05)}
                                                                | _pose))),
                 ])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=2e-3))
param_scheduler = dict(type="ProgressLR", decay=0.05, warmup=50)
test_evaluator = [dict(type="ViewMetrics"), dict(type="SurfaceMetrics"), dict(type="HeadMetrics")]
