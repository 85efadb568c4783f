"""Bounds from silhouettes: the box they bound, and how far inside all of them a point lies."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linprog
from torch import Tensor

from deep3dmap.geometry.epipolar import camera_centers

DIRECTIONS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]])  # in the image: (x, y)
BEHIND = 1e6  # pixels outside the silhouette that a point behind the camera counts as
INFEASIBLE, UNBOUNDED = 2, 3  # linprog's statuses


def normalized_projections(projections: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n 3 4"]:
    """The same projections in float64, scaled so that the third coordinate is the depth: positive in front, world units."""
    P = projections.double()
    sign = torch.linalg.det(P[:, :, :3]).sign()
    return P * (sign / P[:, 2, :3].norm(dim=-1))[:, None, None]


def check_silhouettes(masks: Bool[Tensor, "n h w"], projections: Float[Tensor, "m 3 4"]) -> None:
    """Refuse silhouettes that bound nothing.

    Raises:
        ValueError: if numbers differ, there is only one view, a mask is empty or a projection is singular.
    """
    if len(masks) != len(projections):
        raise ValueError(f"{len(masks)} masks but {len(projections)} projection matrices; each view needs both")
    if len(masks) < 2:
        raise ValueError(f"silhouettes bound an object only from two or more views, got {len(masks)}")
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"the masks of views {empty} are empty: leave these views out or fix their masks")
    singular = (torch.linalg.matrix_rank(projections[:, :, :3].double()) < 3).nonzero().flatten().tolist()
    if singular:
        raise ValueError(f"the projection matrices of views {singular} are singular: their left 3x3 blocks must be invertible")


def _half_spaces(mask: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Rows (a, b) with ``a . x <= b`` for every point seen in one mask: in front, and within its octagon.

    The octagon is the mask's extent in eight directions; those in which the mask touches the image's edge bound nothing.
    """
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    free = {(1, 0): columns[-1] < mask.shape[1] - 1, (-1, 0): columns[0] > 0, (0, 1): rows[-1] < mask.shape[0] - 1,
            (0, -1): rows[0] > 0}  # yapf: disable
    v, u = mask.nonzero()
    planes = [-P[2]]
    for x, y in DIRECTIONS:
        if all(free[side] for side in ((x, 0), (0, y)) if side in free):
            extent = (x * u + y * v).max() + 0.5 * (x + y + abs(x) + abs(y))
            planes.append(x * P[0] + y * P[1] - extent * P[2])
    planes = np.stack(planes)
    return np.concatenate([planes[:, :3], -planes[:, 3:]], 1)


def silhouette_bounds(masks: Bool[Tensor, "n h w"],
                      projections: Float[Tensor, "m 3 4"]) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Corners (lower, upper) of an axis-aligned box, world units, float64, that holds everything the silhouettes allow.

    Each mask's octagon makes a pyramid of half-spaces with its tip in the camera; six linear programs find the box of the
    pyramids' intersection. No prior knowledge of the scene is needed.

    Raises:
        ValueError: if ``check_silhouettes`` does; if no point lies in every silhouette; if the views leave space unbounded.
    """
    check_silhouettes(masks, projections)
    P = normalized_projections(projections)
    centers = camera_centers(P)
    middle, scale = centers.mean(0), (centers - centers.mean(0)).norm(dim=-1).max()
    if not scale > 0:
        raise ValueError("all cameras are at the same position: silhouettes bound an object only from different positions")
    P = torch.cat([P[:, :, :3] * scale, P[:, :, :3] @ middle[:, None] + P[:, :, 3:]], -1).cpu().numpy()
    planes = np.concatenate([_half_spaces(mask, view) for mask, view in zip(masks.cpu().numpy(), P)])
    planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
    bounds = [_extreme(planes, axis, sign) for sign in (1.0, -1.0) for axis in range(3)]
    lower, upper = torch.tensor(bounds, dtype=torch.float64).view(2, 3) * scale.cpu() + middle.cpu()
    return lower, upper


def _extreme(planes: np.ndarray, axis: int, sign: float) -> float:
    """Least (sign 1) or largest (sign -1) coordinate along an axis within the half-spaces."""
    result = linprog(sign * np.eye(3)[axis], A_ub=planes[:, :3], b_ub=planes[:, 3], bounds=(None, None))
    if result.status == INFEASIBLE:
        raise ValueError("the silhouettes don't overlap: no point in space projects into every mask. Do the cameras and masks "
                         "match, in the same order and pixel size?")
    if result.status != 0:
        why = "" if result.status == UNBOUNDED else f" ({result.message})"
        raise ValueError("the silhouettes don't bound the object: it needs views from more directions, or masks that don't "
                         f"touch the image's edge{why}")
    return float(result.x[axis])


def mask_distance(mask: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Signed distance in pixels, float32, from each pixel's centre to the silhouette's outline: positive outside.

    The outline runs along pixel edges, half a pixel from the nearest centre of opposite label.
    """
    inside = mask.cpu().numpy()
    distance = distance_transform_edt(~inside) - distance_transform_edt(inside)
    return torch.from_numpy(distance - 0.5 * np.sign(distance)).float().to(mask.device)


def silhouette_distance(distances: Float[Tensor, "n h w"],
                        projections: Float[Tensor, "n 3 4"],
                        points: Float[Tensor, "p 3"],
                        tolerance: int = 0) -> Float[Tensor, "p"]:
    """Approximate distance of points outside (positive) the visual hull; zero on its surface, finer than a pixel.

    In each view the distance to the outline is read between pixels (bilinear) and scaled to the point's depth; the hull's is
    the largest over the views, or the next ones with a ``tolerance``. Beyond an image's edge the value at the edge holds.

    Args:
        distances: ``mask_distance`` of every view.
        projections: from ``normalized_projections``.
        points: world units.
        tolerance: number of views that may disagree.
    """
    height, width = distances.shape[1:]
    size = torch.tensor([width, height]).to(distances)
    found = []
    for distance, P in zip(distances, projections):
        u, v, depth = (points.to(P) @ P[:, :3].T + P[:, 3]).unbind(-1)
        at = (torch.stack([u / depth, v / depth], -1).to(distance).nan_to_num() / size * 2 - 1).clamp(-2, 2)
        pixels = torch.nn.functional.grid_sample(distance[None, None],
                                                 at[None, None],
                                                 padding_mode="border",
                                                 align_corners=False)[0, 0, 0]
        focal = torch.linalg.det(P[:, :3]).sqrt()
        found.append(torch.where(depth > 0, pixels * (depth / focal).to(pixels), BEHIND))
    return torch.stack(found).topk(tolerance + 1, dim=0).values[-1]
