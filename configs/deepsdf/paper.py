# The published network for one class of ShapeNet. Samples and splits: `deep3dmap prepare sdf-samples`
_base_ = ["../_base_/default_runtime.py", "../_base_/schedules/deepsdf_paper.py"]

amp = False
model = dict(
    type="DeepSDF",
    decoder=dict(type="DeepSDFDecoder",
                 code_length=256,
                 dims=[512] * 8,
                 dropout=list(range(8)),
                 dropout_prob=0.2,
                 norm_layers=list(range(8)),
                 latent_in=[4],
                 weight_norm=True,
                 xyz_in_all=False,
                 use_tanh=False,
                 latent_dropout=False),
    losses=dict(sdf=dict(type="ClampedSDFLoss", clamp=0.1),
                code=dict(type="CodeLoss", weight=dict(start=0.0, end=1e-4, length=100, first=1))),
    code_bound=1.0,
)
train_dataset = dict(type="SDFShapes", root="data/shapenet", split="splits/sv2_chairs_train.json", shapes=64, samples=16384)
test_dataset = dict(type="SDFTestShapes", root="data/shapenet", split="splits/sv2_chairs_test.json")
default_hooks = dict(log=dict(norms=True), pictures=None, checkpoint=dict(keep=0, minutes=60.0))
test_cfg = dict(resolution=0)
test_evaluator = [dict(type="ShapeMetrics")]
