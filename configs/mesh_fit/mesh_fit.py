# A mesh fitted to photographs from coarse to fine, starting from the visual hull. Configs with this base add a data set.
# Another renderer: see docs/mesh_fit.md.
_base_ = ["../_base_/default_runtime.py"]

model = dict(type="MeshFit",
             levels=dict(coarse=dict(resolution=48, scale=0.25),
                         medium=dict(resolution=80, scale=0.5),
                         fine=dict(resolution=128, scale=1.0)),
             start="hull",
             renderer=dict(type="MeshRenderer",
                           rasterizer=dict(type="FastRasterizer", faces_per_pixel=1),
                           shader=dict(type="MeshShader", shading="none", blending="outline", sigma=3e-5)),
             losses=dict(silhouette=dict(type="SilhouetteLoss", weight=10.0),
                         color=dict(type="PhotometricLoss", weight=4.0),
                         bending=dict(type="NormalConsistencyLoss", weight=0.1),
                         edges=dict(type="EdgeLengthLoss", weight=1.0)))

optim_wrapper = dict(unknowns=dict(optimizer=dict(type="Adam", lr=2e-2, betas=(0.9, 0.95)), fresh_each_stage=True),
                     colors=dict(optimizer=dict(type="Adam", lr=1e-2), fresh_each_stage=True))
param_scheduler = dict(unknowns=dict(type="ProgressLR", decay=0.2), colors=dict(type="ProgressLR", decay=0.2))
train_cfg = dict(type="StagedTrainLoop",
                 stages=[dict(name="coarse", max_share=0.1),
                         dict(name="medium", max_share=0.25),
                         dict(name="fine")])
