# A DTU scan as IDR uses it: 49 or 64 photographs of 1200 x 1600, masks, cameras. All views are trained on, as in the paper.
# `deep3dmap download dtu_idr`; another scan: --cfg-options scene.capture=dtu_idr/scan114
scene = dict(capture="dtu_idr/scan65", normalization="given", test_views=0)
train_dataset = dict(type="RayBatches", rays=2048, views_per_batch=1)
test_dataset = dict(type="Views", split="train")
