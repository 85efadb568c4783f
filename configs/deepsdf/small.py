# DeepSDF for two cores: a quarter of the published network's work, no dropout, one rate that falls to a twentieth.
_base_ = ["../_base_/default_runtime.py"]

model = dict(
    type="DeepSDF",
    decoder=dict(type="DeepSDFDecoder",
                 code_length=64,
                 dims=[256] * 8,
                 dropout=None,
                 norm_layers=list(range(8)),
                 latent_in=[4],
                 weight_norm=True),
    losses=dict(sdf=dict(type="ClampedSDFLoss", clamp=0.1), code=dict(type="CodeLoss", weight=1e-4)),
    code_bound=1.0,
    code_std=0.1,  # the published 1 leaves minutes in which codes are noise to the decoder
    step_chunk=4,
)
optim_wrapper = dict(decoder=dict(optimizer=dict(type="Adam", lr=2e-3)), codes=dict(optimizer=dict(type="Adam", lr=3e-3)))
param_scheduler = dict(decoder=dict(type="ProgressLR", decay=0.05, warmup=100), codes=dict(type="ProgressLR", decay=0.05))
default_hooks = dict(log=dict(norms=True), pictures=None)
test_cfg = dict(resolution=0)
test_evaluator = [dict(type="ShapeMetrics")]
