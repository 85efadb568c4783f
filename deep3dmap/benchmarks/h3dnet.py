"""H3D-Net's benchmark: IDR's, with the shipped prior's head as the surface, and the placement of that head in a scene.

The object is IDR's, so that the two methods' steps can be compared; heads are placed by silhouettes of the prior's mean head,
so that no data are needed.
"""

from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor

from deep3dmap.benchmarks import idr
from deep3dmap.benchmarks.cases import Network, Work
from deep3dmap.benchmarks.work import Job
from deep3dmap.frameworks.base import Framework
from deep3dmap.frameworks.h3dnet.network import PlacedHead
from deep3dmap.frameworks.h3dnet.placing import Placement, fit_to_masks
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.geometry.outlines import lowest_along_rays, within_sphere
from deep3dmap.structures import Cameras

SIZE, FOCAL, DISTANCE, REACH = 96, 1.6, 2.5, 1.0
#: Elevations of the cameras, degrees.
ELEVATIONS = (-15.0, 15.0)
#: Error of the placement from landmarks: offset in head units, and scale.
OFFSET, SCALE = (0.03, -0.02, 0.03), 1.02


def head_cameras(views: int, device: torch.device) -> Cameras:
    """Cameras all around a head."""
    poses = sphere_of_cameras(views, DISTANCE, ELEVATIONS, up=(0.0, 1.0, 0.0)).float()
    K = torch.tensor([[FOCAL * SIZE, 0, SIZE / 2], [0, FOCAL * SIZE, SIZE / 2], [0, 0, 1.0]])
    return Cameras(K.repeat(views, 1, 1), poses, (SIZE, SIZE)).to(device, torch.float32)


@torch.no_grad()
def head_masks(head: PlacedHead, cameras: Cameras) -> Bool[Tensor, "n h w"]:
    """Silhouettes of a head."""
    centers = torch.arange(SIZE) + 0.5
    uv = torch.stack(torch.meshgrid(centers, centers, indexing="xy"), -1).view(-1, 2).to(cameras.K)
    masks = []
    for view in range(len(cameras)):
        rays = cameras.rays(torch.full((len(uv), ), view, device=uv.device), uv)
        ends = within_sphere(rays.origins, rays.directions, REACH)
        _, lowest = lowest_along_rays(head.sdf, rays.origins, rays.directions, *ends, samples=32)
        masks.append((lowest < 0).view(SIZE, SIZE))
    return torch.stack(masks)


def _place(framework: Framework, views: int, start: Placement | None = None, **_) -> Job:
    """Pose and code of the mean head from its masks, optionally from an approximate placement."""
    head = PlacedHead(features=0).to(framework.device)
    head.decoder.eval()
    cameras = head_cameras(views, framework.device)
    masks = head_masks(head, cameras)
    return Job(lambda: fit_to_masks(head.decoder, cameras, masks, head.code_mean, head.code_root, start=start))


# --- what is measured -----------------------------------------------------------------------------------------------------

VIEWS, NEARLY = (3, 8, 32), Placement(torch.eye(3), torch.tensor(OFFSET), SCALE)

METHOD = replace(
    idr.METHOD,
    networks=dict(small=Network("configs/h3dnet/synthetic_head.py", rate=5e-4)),
    work={name: idr.METHOD.work[name] for name in ("evaluate", "train_step", "mesh", "dense_mesh")}
    | dict(place=Work("views", VIEWS, (3, ), job=_place),
           place_from_landmarks=Work("views", VIEWS, (3, ), job=partial(_place, start=NEARLY))),
)  # yapf: disable
