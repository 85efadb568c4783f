# H3D-Net's shape prior of heads: DeepSDF with a decoder that IDR can render. Data: docs/h3dnet.md
_base_ = ["../deepsdf/ict_heads.py"]

model = dict(
    decoder=dict(_delete_=True,
                 type="CodedSDFNetwork",
                 code_length=64,
                 width=256,
                 depth=6,
                 skip=[3],
                 frequencies=4,
                 features=0),
    losses=dict(sdf=dict(type="ClampedSDFLoss", clamp=0.1), far=dict(type="ClampedSDFLoss", clamp=1.0, weight=0.2)),
)
train_cfg = dict(max_steps=10_000)
train_dataset = dict(root="data/whole_heads", split="splits/ict_heads_train_200.json")
test_dataset = dict(root="data/whole_heads", meshes="data/whole_heads/meshes/ict_heads")
