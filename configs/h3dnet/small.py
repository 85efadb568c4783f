# H3D-Net for two cores: the shipped prior of heads, small networks. A data set and its times are added by the configs on top.
_base_ = ["../_base_/default_runtime.py"]

model = dict(
    type="H3DNet",
    geometry=dict(type="PlacedHead", prior="ict_heads", features=64),
    radiance=dict(type="RadianceNetwork", width=256, depth=3, features=64, view_frequencies=2, point_frequencies=5),
    renderer=dict(type="SphereTracer", samples=64, cache=dict(resolution=64, interval=8)),
    least_slope=0.2,
    losses=dict(rgb=dict(type="ColorLoss", weight=1.0),
                eikonal=dict(type="EikonalLoss", weight=0.1),
                mask=dict(type="MaskLoss", weight=100.0, alpha=[200, 800, 1600]),
                code=dict(type="LatentLoss", weight=0.01)),
    input_keys=None,
)
train_cfg = dict(type="StagedTrainLoop",
                 max_minutes=4.0,
                 average=0.995,
                 stages=[
                     dict(name="colors", max_share=0.25, max_minutes=60.0, params=["radiance.*"], losses=["rgb"]),
                     dict(name="code",
                          max_share=0.45,
                          max_minutes=60.0,
                          params=["geometry.latent", "geometry.turn", "geometry.shift", "geometry.growth", "radiance.*"],
                          losses=["rgb", "mask", "code"],
                          optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3),
                                             paramwise_cfg=dict(custom_keys={
                                                 "geometry.latent": dict(lr_mult=3.0),
                                                 "geometry": dict(lr_mult=0.3)
                                             }))),
                     dict(name="train",
                          optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3),
                                             paramwise_cfg=dict(custom_keys={
                                                 "geometry.decoder": dict(lr_mult=0.05),
                                                 "geometry": dict(lr_mult=0.3)
                                             }))),
                 ])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=2e-3))
param_scheduler = dict(type="ProgressLR", decay=0.05, warmup=50)
test_evaluator = [dict(type="ViewMetrics"), dict(type="SurfaceMetrics"), dict(type="HeadMetrics")]
