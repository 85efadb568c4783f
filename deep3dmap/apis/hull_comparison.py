"""Comparison of a reconstructed mesh with the visual hull, by their silhouettes."""

import torch
import trimesh

from deep3dmap.datasets.captures.scene import Scene
from deep3dmap.datasets.captures.scene_checks import Silhouettes
from deep3dmap.datasets.captures.silhouette_checks import hull_agreement, spread
from deep3dmap.evaluation.images import mask_iou
from deep3dmap.geometry.ray_casting import cast_rays
from deep3dmap.structures import Capture

VIEWS, SIDE = 8, 64  # training views that are compared, and pixels along the longer side, at most
CLEARLY = 0.05  # difference of the IoUs


def hull_notes(mesh: trimesh.Trimesh | None, scene: Scene) -> list[str]:
    """A note if the mesh (in the world) fits the masks of the training views clearly worse than their visual hull."""
    if mesh is None or scene.capture.masks is None:
        return []
    views = Silhouettes.of(scene.train)
    fit, hull = mesh_agreement(mesh, scene.train), hull_agreement(views.masks, views.cameras)
    if fit > hull - CLEARLY:
        return []
    return [
        f"the mesh fits the masks of the training views worse than their visual hull does (IoU {fit:.2f}, the hull "
        f"{hull:.2f}): train longer, or compare with --method hull"
    ]


def mesh_agreement(mesh: trimesh.Trimesh, capture: Capture) -> float:
    """Mean IoU of a mesh's silhouettes and the masks of some views, on subsampled pixels."""
    views = spread(len(capture), VIEWS)
    step = -(-max(capture.cameras.size) // SIDE)
    masks = capture.masks[views, step // 2::step, step // 2::step]
    row, column = torch.meshgrid(*(torch.arange(n) * step + step // 2 + 0.5 for n in masks.shape[1:]), indexing="ij")
    cameras, uv = capture.cameras.to("cpu", torch.float64), torch.stack([column, row], -1).reshape(-1, 2).double()
    ious = []
    for view, mask in zip(views, masks):
        rays = cameras.rays(torch.full((len(uv), ), view), uv)
        ious.append(mask_iou(cast_rays(mesh, rays.origins, rays.directions).hit.reshape(mask.shape), mask.cpu()))
    return sum(ious) / len(ious)
