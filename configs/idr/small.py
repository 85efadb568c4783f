# IDR for two cores: small networks, started from the visual hull. A data set and its times are added by the configs on top.
_base_ = ["../_base_/default_runtime.py"]

model = dict(
    type="IDR",
    geometry=dict(type="SDFNetwork", width=128, depth=5, skip=[3], frequencies=6, features=64),
    radiance=dict(type="RadianceNetwork", width=256, depth=3, features=64, view_frequencies=2, point_frequencies=5),
    renderer=dict(type="SphereTracer", samples=64, cache=dict(resolution=64, interval=8)),
    least_slope=0.2,
    losses=dict(rgb=dict(type="ColorLoss", weight=1.0),
                eikonal=dict(type="EikonalLoss", weight=0.1),
                mask=dict(type="MaskLoss", weight=100.0, alpha=[200, 800, 1600]),
                sdf=dict(type="SDFLoss", weight=1.0)),
    input_keys=None,
)
optim_wrapper = dict(optimizer=dict(type="Adam", lr=1e-3), fresh_each_stage=True)
param_scheduler = dict(type="ProgressLR", decay=0.05, warmup=100)  # full steps at once would undo the hull's start
