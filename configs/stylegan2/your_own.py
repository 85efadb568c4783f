# StyleGAN2 on a folder of pictures: train_dataloader.dataset.folder. Few pictures are augmented; 1,000 or more are sensible.
_base_ = ["faces_64.py"]

_pictures = dict(type="ImageFolder", folder="pictures", size=64)

model = dict(augment_target=0.6)
train_dataloader = dict(dataset=dict(_delete_=True, pipeline=[dict(type="mmcv.RandomFlip", prob=0.5)], **_pictures))
val_dataloader = dict(dataset=dict(_delete_=True, **_pictures))
test_dataloader = dict(dataset=dict(_delete_=True, **_pictures))
