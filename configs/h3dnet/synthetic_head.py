# A head of the ICT face model that the prior was not trained on, photographed three times from the front.
_base_ = ["small.py"]

model = dict(geometry=dict(unit_millimetres=1.0))
scene = dict(capture=dict(type="SyntheticHeadCapture", head="test_00000", views=3, test_views=2), test_views=None)
train_dataset = dict(type="RayBatches", rays=1024, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=3)
