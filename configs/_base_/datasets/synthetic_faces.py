_faces = dict(type="SyntheticFaces", cache="data/synthetic_faces")
_random = [dict(type="RandomFaceBox"), dict(type="RandomOcclusion", prob=0.15), dict(type="RandomPhotometry")]

train_dataloader = dict(batch_size=16,
                        num_workers=1,
                        dataset=dict(split="train",
                                     count=20_000,
                                     pipeline=[
                                         *_random,
                                         dict(type="mmcv.RandomGrayscale", prob=0.05, keep_channels=True),
                                         dict(type="PackFace", size=128)
                                     ],
                                     **_faces))
val_dataloader = dict(batch_size=16, dataset=dict(split="validation", pipeline=[dict(type="PackFace", size=128)], **_faces))
val_evaluator = [dict(type="FaceNME")]
test_dataloader = dict(batch_size=16, dataset=dict(split="test", pipeline=[dict(type="PackFace", size=128)], **_faces))
