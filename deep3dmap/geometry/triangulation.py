"""Points from their marks in two or more views: every pair of views is tried, the best point is refined robustly.

Linear triangulation of a pair is that of Hartley & Zisserman, 12.2. The point whose *sum* of errors over all views is least
tolerates one wrong mark among three or more (unless it moved along its epipolar lines, which is undetectable); Gauss-Newton
steps with Cauchy's weights then use all marks that agree (Hartley & Zisserman, A6.8).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.epipolar import triangulate

STEPS = 20
BEHIND = 1e6  # error in pixels of a point behind a camera, when points are compared


def reprojection_errors(points: Float[Tensor, "*batch 3"], projections: Float[Tensor, "n 3 4"],
                        uv: Float[Tensor, "n 2"]) -> Float[Tensor, "*batch n"]:
    """Distances in pixels between a mark in each view and where the points are seen; infinite behind a camera.

    Args:
        points: in the world.
        projections: ``K [R | t]`` of the views, of the sign that makes depths in front positive.
        uv: the marks.
    """
    seen = torch.einsum("nij,...j->...ni", projections[:, :, :3], points) + projections[:, :, 3]
    errors = (seen[..., :2] / seen[..., 2:] - uv).norm(dim=-1)
    return torch.where((seen[..., 2] > 0) & errors.isfinite(), errors, torch.inf)


def _step(point: Float[Tensor, "3"], projections: Float[Tensor, "n 3 4"], uv: Float[Tensor, "n 2"],
          noise: float) -> Float[Tensor, "3"]:
    """The point after one weighted Gauss-Newton step."""
    seen = projections[:, :, :3] @ point + projections[:, :, 3]
    pixel = seen[:, :2] / seen[:, 2:]
    jacobian = (projections[:, :2, :3] - pixel[..., None] * projections[:, 2:, :3]) / seen[:, 2, None, None]
    residual = pixel - uv
    weight = 1 / (1 + residual.pow(2).sum(-1) / noise**2)
    normal = torch.einsum("n,nki,nkj->ij", weight, jacobian, jacobian)
    return point - torch.linalg.pinv(normal, hermitian=True) @ torch.einsum("n,nki,nk->i", weight, jacobian, residual)


def triangulate_point(projections: Float[Tensor, "n 3 4"], uv: Float[Tensor, "n 2"], noise: float = 2.0) -> Float[Tensor, "3"]:
    """The world point marked in two or more views; best in float64.

    Args:
        projections: ``K [R | t]`` of the views.
        uv: its mark in each.
        noise: of a good mark, in pixels; marks that are much farther off have little weight.

    Raises:
        ValueError: if there are fewer than two views.
    """
    if len(uv) < 2:
        raise ValueError(f"a point is triangulated from two or more views, got {len(uv)}")
    first, second = torch.triu_indices(len(uv), len(uv), 1)
    points = triangulate(projections[first], projections[second], uv[first], uv[second])
    point = points[reprojection_errors(points, projections, uv).clamp(max=BEHIND).sum(-1).argmin()]
    if not reprojection_errors(point, projections, uv).isfinite().all():
        return point
    cost = _cost(point, projections, uv, noise)
    for _ in range(STEPS):
        moved = _step(point, projections, uv, noise)
        lower = _cost(moved, projections, uv, noise)
        if not lower < cost:
            break
        point, cost = moved, lower
    return point


def _cost(point: Float[Tensor, "3"], projections: Float[Tensor, "n 3 4"], uv: Float[Tensor, "n 2"],
          noise: float) -> Float[Tensor, ""]:
    return torch.log1p((reprojection_errors(point, projections, uv) / noise).pow(2)).sum()


def triangulate_points(projections: Float[Tensor, "n 3 4"],
                       uv: Float[Tensor, "n p 2"],
                       noise: float = 2.0) -> tuple[Float[Tensor, "p 3"], Float[Tensor, "n p"]]:
    """Several points, each marked in some of the views (NaN in the others).

    Returns:
        The points, NaN where fewer than two views mark one; and each mark's error in pixels, NaN without mark or point.
    """
    points = torch.full((uv.shape[1], 3), torch.nan).to(uv)
    errors = torch.full(tuple(uv.shape[:2]), torch.nan).to(uv)
    for p in range(uv.shape[1]):
        views = uv[:, p].isfinite().all(-1)
        if views.sum() >= 2:
            points[p] = triangulate_point(projections[views], uv[views, p], noise)
            errors[views, p] = reprojection_errors(points[p], projections[views], uv[views, p])
    return points, errors
