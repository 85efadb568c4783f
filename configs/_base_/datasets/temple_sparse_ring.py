# Sixteen photographs of a plaster temple (Middlebury); two are held out. `deep3dmap download temple_sparse_ring`
scene = dict(capture="temple_sparse_ring", test_views=["templeSR0004", "templeSR0012"])
train_dataset = dict(type="RayBatches", rays=2048, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=2)
