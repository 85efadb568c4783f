# Ten unseen synthetic faces with their masks, whose depth is known; measured after each stage.
_base_ = ["small.py"]

instances = dict(dataset=dict(_delete_=True, type="AlignedFaces", split="test", count=10, truth=True,
                              pipeline=[dict(type="PackObject", mask=True)]), workers=2)  # yapf: disable
val_cfg = dict()
