# A sculpted head of analytic shapes, photographed by 16 exact cameras; 4 more views are held out. Nothing to download.
scene = dict(capture=dict(type="SyntheticCapture", mesh="head", views=16, test_views=4, size=(256, 256)), test_views=None)
train_dataset = dict(type="RayBatches", rays=2048, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=4)
