"""Whether a true surface matches the silhouettes: it must be in the capture's frame and units.

A partial surface can be checked too: none of it may lie outside the silhouettes.
"""

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.datasets.captures.scene_checks import Silhouettes
from deep3dmap.datasets.captures.silhouette_checks import hull_agreement
from deep3dmap.geometry.silhouettes import mask_distance, normalized_projections

POINTS = 2000  # of the mesh, approximately
TOLERANCE = 2.0  # pixels of the downsampled masks by which points may lie outside
OUTSIDE = 0.1  # mean share of points outside a mask above which the mesh doesn't fit; more for inconsistent silhouettes
TINY = 0.2  # size in the image, relative to the mask's, below which the unit is wrong

CONSEQUENCE = "accuracy against it is meaningless until it is in the capture's frame and units"


def true_mesh_warnings(mesh: trimesh.Trimesh | None, views: Silhouettes, name: str) -> list[str]:
    """Conflicts between a true surface in the world and the silhouettes.

    Args:
        mesh: the surface; None if there is none.
        views: with their silhouettes; of valid masks.
        name: of the mesh in messages.
    """
    if mesh is None or not len(mesh.faces) or "regions" in mesh.metadata or views.masks is None:  # H3DS's heads are aligned
        return []
    views = views.pick([view for view, problem in enumerate(views.mask_problems) if not problem])
    if not len(views.names):
        return []
    outside, size = silhouette_fit(mesh, views)
    if outside > OUTSIDE and (len(views.names) == 1 or outside > OUTSIDE + 1 - hull_agreement(views.masks, views.cameras)):
        return [f"{name}: {outside:.0%} of it is outside the silhouettes (mean over the views); {CONSEQUENCE}"]
    if size < TINY:
        return [f"{name}: is {size:.2g} times as large as what the silhouettes show; {CONSEQUENCE}"]
    return []


def silhouette_fit(mesh: trimesh.Trimesh, views: Silhouettes) -> tuple[float, float]:
    """The fraction of a mesh outside the silhouettes (mean over the views), and its size relative to them (median)."""
    faces = np.asarray(mesh.faces)[::max(1, len(mesh.faces) // POINTS)]  # some vertices may be unused
    points = torch.from_numpy(np.asarray(mesh.vertices)[faces].mean(1)).double()
    outside, sizes = [], []
    for mask, P in zip(views.masks, normalized_projections(views.cameras.projections)):
        u, v, depth = (points @ P[:, :3].T + P[:, 3]).unbind(-1)
        uv = (torch.stack([u, v], -1) / depth[:, None]).nan_to_num()
        outside.append(((depth <= 0) | _outside(mask, uv)).double().mean())
        shown = mask.nonzero().double()
        sizes.append(_extent(uv) / (_extent(shown) + 1))
    return float(torch.stack(outside).mean()), float(torch.stack(sizes).median())


def _outside(mask: Bool[Tensor, "h w"], uv: Float[Tensor, "p 2"]) -> Bool[Tensor, "p"]:
    """Which pixels are clearly outside a silhouette; extended by replication beyond the image's edge."""
    height, width = mask.shape
    column, row = uv[:, 0].clamp(0, width - 1).long(), uv[:, 1].clamp(0, height - 1).long()
    return mask_distance(mask)[row, column] > TOLERANCE


def _extent(points: Float[Tensor, "p 2"]) -> Float[Tensor, ""]:
    return (points.amax(0) - points.amin(0)).max()
