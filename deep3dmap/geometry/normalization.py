"""Similarities that put a scene into the unit sphere: from silhouettes, from cameras alone, or from a box.

Every function returns ``scene_from_world``, a (4, 4) float64 similarity without rotation. Lengths go in as world units.
``normalization_from_hull`` is the one to use where there are masks. ``normalization_from_masks`` repeats the preprocessing of
Yariv et al. 2020 (IDR, ``preprocess_cameras.py``), for comparison with published results; its number of views that must
see a point, 45, applies from 45 views on, and a share of fewer views stands for it.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deep3dmap.geometry.epipolar import camera_centers, epipolar_depth_ranges
from deep3dmap.geometry.silhouettes import check_silhouettes, silhouette_bounds
from deep3dmap.geometry.visual_hull import cell_centers, visual_hull

MARGIN = 1.1  # the object's bounding sphere gets the radius 1 / MARGIN
REFERENCE_VIEWS, REFERENCE_SHARE = 45, 45 / 49  # that must see a point: the reference's number; the share of DTU's views
REFERENCE_SIGMAS = 3.0  # the unit sphere's radius over the hull points' mean distance from their centroid


def scene_from_sphere(center: Float[Tensor, "3"], radius: float | Float[Tensor, ""]) -> Float[Tensor, "4 4"]:
    """The similarity that maps a sphere of the world onto the unit sphere.

    Raises:
        ValueError: if the radius isn't a positive number or the centre isn't finite.
    """
    center, radius = center.detach().cpu().double(), float(radius)
    if not (0 < radius < float("inf") and torch.isfinite(center).all()):
        raise ValueError(f"can't normalise a scene to the sphere of radius {radius} around {center.tolist()}")
    matrix = torch.eye(4, dtype=torch.float64) / radius
    matrix[:3, 3] = -center / radius
    matrix[3, 3] = 1
    return matrix


def normalization_from_box(lower: Float[Tensor, "3"],
                           upper: Float[Tensor, "3"],
                           margin: float = MARGIN) -> Float[Tensor, "4 4"]:
    """The box's corners come to lie at the radius ``1 / margin``.

    Raises:
        ValueError: if the box is empty.
    """
    if not (upper >= lower).all():
        raise ValueError(f"the box from {lower.tolist()} to {upper.tolist()} is empty: give its lower corner first")
    return scene_from_sphere((lower + upper) / 2, margin * (upper - lower).norm() / 2)


def nearest_point_to_axes(world_to_cam: Float[Tensor, "n 3 4"]) -> Float[Tensor, "3"]:
    """The point with the least sum of squared distances to the cameras' optical axes, float64.

    Raises:
        ValueError: if there is one camera only, or if all axes are parallel.
    """
    if len(world_to_cam) < 2:
        raise ValueError(f"the point that cameras look at needs two or more of them, got {len(world_to_cam)}")
    pose = world_to_cam.double()
    axes = pose[:, 2, :3]
    across = torch.eye(3).to(axes) - axes[:, :, None] * axes[:, None, :]
    normal = across.sum(0)
    if torch.linalg.eigvalsh(normal)[0] < 1e-6 * len(pose):
        raise ValueError("the cameras look in parallel, so their axes don't intersect: normalise from masks or from a box")
    return torch.linalg.solve(normal, (across @ camera_centers(pose)[..., None]).sum(0)[:, 0])


def normalization_from_cameras(world_to_cam: Float[Tensor, "n 3 4"], camera_distance: float = 2.0) -> Float[Tensor, "4 4"]:
    """Move the point that the cameras look at to the origin and the nearest camera at ``camera_distance``.

    A guess for captures without masks: the object is taken to be around that point and about half as wide as the nearest
    camera is far. Check it, or give a box.

    Raises:
        ValueError: as ``nearest_point_to_axes``, or if a camera is at that point.
    """
    target = nearest_point_to_axes(world_to_cam)
    nearest = (camera_centers(world_to_cam.double()) - target).norm(dim=-1).min()
    return scene_from_sphere(target, nearest / camera_distance)


def bounding_sphere(points: Float[Tensor, "p 3"], iterations: int = 200) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """Centre and radius of a sphere around all points, at most a percent larger than the smallest one.

    Source: Badoiu & Clarkson, "Smaller core-sets for balls", 2003: step towards the farthest point by 1 / (i + 1).
    """
    center = (points.amin(0) + points.amax(0)) / 2
    best = (center, (points - center).norm(dim=-1).max())
    for i in range(1, iterations + 1):
        distance = (points - center).norm(dim=-1)
        farthest = distance.argmax()
        if distance[farthest] < best[1]:
            best = (center, distance[farthest])
        center = center + (points[farthest] - center) / (i + 1)
    return best


def normalization_from_hull(masks: Bool[Tensor, "n h w"],
                            projections: Float[Tensor, "m 3 4"],
                            margin: float = MARGIN,
                            resolution: int = 96,
                            tolerance: int = 0) -> Float[Tensor, "4 4"]:
    """Scales the bounding sphere of the visual hull to the radius ``1 / margin``.

    Args:
        masks: True on the object.
        projections: world to pixels, first pixel centre at 0.5.
        margin: slack for what masks miss.
        resolution: cells along each edge of the box that the silhouettes bound; the sphere is good to about one cell.
        tolerance: number of views that may disagree about a point.

    Raises:
        ValueError: if a mask is empty, there is one view only, the silhouettes don't overlap or leave the object unbounded.
    """
    grid, lower, upper = bounded_hull(masks, projections, resolution, tolerance)
    ends = grid & ((grid.cumsum(0) == 1) | (grid.flip(0).cumsum(0).flip(0) == 1))  # of each line of occupied cells along x
    center, radius = bounding_sphere(cell_centers(ends, lower, upper))
    return scene_from_sphere(center, margin * (radius + (upper - lower).norm() / resolution / 2))


def bounded_hull(masks: Bool[Tensor, "n h w"],
                 projections: Float[Tensor, "m 3 4"],
                 resolution: int = 96,
                 tolerance: int = 0) -> tuple[Bool[Tensor, "r r r"], Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The visual hull in the box that the silhouettes bound, and the box's corners; arguments and errors as above."""
    lower, upper = silhouette_bounds(masks, projections)
    grid = visual_hull(masks, projections, lower, upper, resolution, tolerance)
    if not grid.any():
        raise ValueError(
            f"no cell of the {resolution}^3 grid from {lower.tolist()} to {upper.tolist()} lies in all of the "
            f"{len(masks)} masks (tolerance {tolerance}): raise the tolerance, or check for a wrong mask or camera")
    return grid, lower, upper


def pixels_of(mask: Bool[Tensor, "h w"]) -> Float[Tensor, "p 2"]:
    """Centres (x, y) of a mask's pixels, row by row, float64."""
    return mask.nonzero().flip(1).double() + 0.5


def _allowed_depths(uv: Float[Tensor, "p 2"], masks: Bool[Tensor, "n h w"], P: Float[Tensor, "n 3 4"], view_step: int,
                    least_range: float) -> Float[Tensor, "p 2"]:
    """Depths of view 0's pixels that every ``view_step``-th other silhouette allows; NaN where they allow none."""
    centers = camera_centers(P)
    apart = (centers - centers[0]).norm(dim=-1)
    others = [view for view in range(1, len(P), view_step) if apart[view] > 1e-6 * apart.max()]
    if not others:
        raise ValueError("the views to compare with view 0 are all at its position: reorder the views or lower view_step")
    ranges = torch.stack([epipolar_depth_ranges(uv, P[0], P[view], pixels_of(masks[view])) for view in others])
    least, largest = ranges[..., 0].amax(0), ranges[..., 1].amin(0)
    bounded = (ranges[..., 0] >= 1e-5).all(0) & (largest >= least + least_range)
    return torch.where(bounded[:, None], torch.stack([least, largest], -1), torch.nan)


def sphere_from_silhouette_depths(masks: Bool[Tensor, "n h w"],
                                  projections: Float[Tensor, "m 3 4"],
                                  permutation: Int[Tensor, "p"] | None = None,
                                  generator: torch.Generator | None = None,
                                  pixels: int = 100,
                                  view_step: int = 5,
                                  least_range: float = 1e-2) -> tuple[Float[Tensor, "3"], Float[Tensor, ""]]:
    """An initial centre and scale of the object, computed as in the reference.

    Pixels of view 0 are drawn from its mask, other silhouettes bound their depths, and the two ends of each depth range
    count as points of the object. The scale is the standard deviation of *all their coordinates together*, not about
    the centroid, so it depends on where the world's origin is: kept, since the refinement mostly compensates.

    Args:
        masks, projections: as in ``normalization_from_hull``.
        permutation: order in which the mask's pixels (row by row) are taken; drawn from ``generator`` if None.
        generator: of random numbers; None is torch's global one.
        pixels: number of pixels to draw.
        view_step: compare with every ``view_step``-th view.
        least_range: shorter ranges of depth are dropped; like depths it is in the units of view 0's projection matrix.

    Raises:
        ValueError: as ``check_silhouettes``, or if no pixel has a range of depths.
    """
    check_silhouettes(masks, projections)
    P = projections.double()
    P = P * torch.linalg.det(P[:, :, :3]).sign()[:, None, None]
    candidates = pixels_of(masks[0])
    if permutation is None:
        permutation = torch.randperm(len(candidates), generator=generator)
    uv = candidates[permutation[:pixels]]
    depths = _allowed_depths(uv, masks, P, view_step, least_range)
    found = ~depths[:, 0].isnan()
    if not found.any():
        raise ValueError(
            f"none of {len(uv)} pixels of view 0 has a range of depths that the other silhouettes allow: the masks "
            "don't overlap in space, or cameras and masks don't match")
    rays = torch.cat([uv, torch.ones_like(uv[:, :1])], -1)[found] @ torch.linalg.inv(P[0, :, :3]).T
    ends = (camera_centers(P[0]) + depths[found].T[..., None] * rays).reshape(-1, 3)
    return ends.mean(0), ends.std(correction=0)


def refine_by_carving(masks: Bool[Tensor, "n h w"],
                      projections: Float[Tensor, "m 3 4"],
                      center: Float[Tensor, "3"],
                      scale: float | Float[Tensor, ""],
                      minimal_views: int | None = None,
                      grid_size: int = 100) -> tuple[Float[Tensor, "3"], Float[Tensor, ""], int]:
    """Centroid of the hull's points on a grid, three times their mean distance from it, and their number.

    The grid's outermost samples lie at ``center +- scale``. A point counts if ``minimal_views`` photographs show it inside
    the mask. By default these are the reference's 45; of fewer views it is the same share as 45 of DTU's 49, rounded down,
    two at least.

    Raises:
        ValueError: if no point is seen in that many masks.
    """
    few = max(2, int(len(masks) * REFERENCE_SHARE))
    needed = minimal_views or (REFERENCE_VIEWS if len(masks) >= REFERENCE_VIEWS else few)
    half = float(scale) * (1 + 1 / (grid_size - 1))
    lower, upper = center.double() - half, center.double() + half
    grid = visual_hull(masks, projections, lower, upper, grid_size, len(masks) - needed, continue_beyond_image=False)
    points = cell_centers(grid, lower, upper)
    if not len(points):
        raise ValueError(
            f"no point within {float(scale):g} of {center.tolist()} lies in {needed} of {len(masks)} masks: masks "
            "miss parts of the object, or cameras and masks don't match; or ask for fewer minimal_views")
    centroid = points.mean(0)
    return centroid, REFERENCE_SIGMAS * (points - centroid).norm(dim=-1).mean(), len(points)


def normalization_from_masks(masks: Bool[Tensor, "n h w"],
                             projections: Float[Tensor, "m 3 4"],
                             minimal_views: int | None = None,
                             grid_size: int = 100,
                             **sampling) -> Float[Tensor, "4 4"]:
    """The reference's normalisation: ``sphere_from_silhouette_depths``, then ``refine_by_carving``.

    Its ``scale_mat`` is the inverse of the result. ``sampling`` are options of the first step; errors are those of both.
    """
    center, scale = sphere_from_silhouette_depths(masks, projections, **sampling)
    center, scale, _ = refine_by_carving(masks, projections, center, scale, minimal_views, grid_size)
    return scene_from_sphere(center, scale)
