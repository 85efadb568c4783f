# IDR with the paper's settings but for the cache: known cameras, a start from a sphere, hours on a GPU.
# Rays are traced through a cached grid, which spares evaluations; hits then differ a little, see docs/idr.md.
# dtu_uncached.py traces as the authors' code does.
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/dtu.py", "../_base_/schedules/idr_paper.py"]

amp = False
model = dict(
    type="IDR",
    geometry=dict(type="SDFNetwork", width=512, depth=8, skip=[4], frequencies=6, features=256, bias=0.6),
    radiance=dict(type="RadianceNetwork", width=512, depth=4, features=256, view_frequencies=4),
    renderer=dict(type="SphereTracer",
                  sdf_threshold=5e-5,
                  line_search_step=0.5,
                  line_search_iterations=3,
                  iterations=10,
                  samples=100,
                  secant_steps=8,
                  cache=dict(resolution=64, interval=16, parts=16)),
    losses=dict(rgb=dict(type="ColorLoss", weight=1.0),
                eikonal=dict(type="EikonalLoss", weight=0.1),
                mask=dict(type="MaskLoss",
                          weight=100.0,
                          alpha=dict(start=50, factor=2, milestones=[250, 500, 750, 1000, 1250], by="epoch"))),
)
