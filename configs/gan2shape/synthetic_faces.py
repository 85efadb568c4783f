# Ten unseen synthetic faces, whose depth is known; measured after each stage.
_base_ = ["small.py"]

instances = dict(dataset=dict(_delete_=True, type="AlignedFaces", split="test", count=10, truth=True,
                              pipeline=[dict(type="PackObject")]), workers=2)  # yapf: disable
val_cfg = dict()
