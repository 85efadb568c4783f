"""Quantities of a pixel centre in a projected triangle: barycentric coordinates and distance to its edges.

Image coordinates here have x right, y down, and [-1, 1] over the image's shorter side. Definitions as in PyTorch3D's
rasteriser (Ravi et al., "Accelerating 3D Deep Learning with PyTorch3D", 2020), after Liu et al., "Soft Rasterizer", ICCV 2019;
but a point on an edge is inside, so that a surface has no gaps where edges pass through the centres of pixels.
"""

import torch
from jaxtyping import Float
from torch import Tensor

SMALL = 1e-8  # of areas in the image and of weights' sums; smaller faces are not drawn


def cross(a: Float[Tensor, "*m 2"], b: Float[Tensor, "*m 2"]) -> Float[Tensor, "*m"]:
    """The third component of the cross product of vectors in the image."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def in_order(values: Float[Tensor, "m 3"]) -> Float[Tensor, "m"]:
    """Sums of three, first to last: ``sum`` may add them in another order than the compiled implementation does."""
    return values[:, 0] + values[:, 1] + values[:, 2]


def barycentric_coordinates(points: Float[Tensor, "m 2"], triangles: Float[Tensor, "m 3 3"],
                            perspective: bool) -> Float[Tensor, "m 3"]:
    """Weights of each triangle's corners at a point of the image.

    Args:
        points: image coordinates.
        triangles: corners in image coordinates, and their depths.
        perspective: weights in scene space rather than in the image.
    """
    corners = triangles[..., :2] - points[:, None]
    areas = torch.stack([cross(corners[:, i], corners[:, j]) for i, j in ((1, 2), (2, 0), (0, 1))], -1)
    total = cross(triangles[:, 1, :2] - triangles[:, 0, :2], triangles[:, 2, :2] - triangles[:, 0, :2])
    weights = areas / total[:, None]
    if not perspective:
        return weights
    z = triangles[..., 2]
    weights = weights * torch.stack([z[:, 1] * z[:, 2], z[:, 2] * z[:, 0], z[:, 0] * z[:, 1]], -1)
    return weights / in_order(weights)[:, None].clamp(min=SMALL)


def clipped(barycentric: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
    """Barycentric weights clamped to the triangle: negative ones are set to 0, and the sum to 1."""
    positive = barycentric.clamp(min=0)
    return positive / in_order(positive)[:, None].clamp(min=1e-5)


def edge_distance(points: Float[Tensor, "m 2"], triangles: Float[Tensor, "m 3 3"]) -> Float[Tensor, "m"]:
    """Squared distance of points of the image to the nearest edge of their triangles, in image coordinates."""
    start = triangles[..., :2]
    edge, offset = start.roll(-1, 1) - start, points[:, None] - start
    length = (edge * edge).sum(-1)
    along = ((offset * edge).sum(-1) / length.clamp(min=1e-30)).clamp(0, 1)
    along = torch.where(length > SMALL, along, 0)
    nearest = along[..., None] * edge - offset
    return (nearest * nearest).sum(-1).amin(-1)
