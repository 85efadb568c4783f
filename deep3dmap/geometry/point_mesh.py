"""Distances between points and the faces or edges of a mesh, both ways, differentiable in both.

The closest point of a simplex (a triangle, or a segment) is found without gradients, in double precision and on the CPU, as
weights of its corners. The squared distance is recomputed from these weights. They minimise it, so its gradient is exact
although they are held fixed (Danskin's theorem); second derivatives are not.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from deep3dmap.geometry.closed_meshes import import_igl
from deep3dmap.geometry.mesh_operators import check_mesh

#: Most pairs of a point and a simplex compared at once.
CHUNK = 2**18


class Feet(NamedTuple):
    """Closest points on a mesh.

    Attributes:
        simplices: index of the face or edge.
        weights: barycentric coordinates of the closest point.
        points: index of the point.
    """

    simplices: Int[Tensor, "n"]
    weights: Float[Tensor, "n c"]
    points: Int[Tensor, "n"]


def points_to_mesh(points: Float[Tensor, "p 3"],
                   vertices: Float[Tensor, "v 3"],
                   simplices: Int[Tensor, "s c"],
                   least_area: float = 0.0) -> Float[Tensor, "p"]:
    """*Squared* distance from each point to the closest face (or edge).

    Args:
        points: positions.
        vertices: of the mesh, in the same unit.
        simplices: (f, 3) faces or (e, 2) edges.
        least_area: faces of smaller area are replaced by their edges; squared units.

    Raises:
        ValueError: if there is nothing to measure to, a vertex index is out of range or a coordinate is not finite.
        MissingDependencyError: if libigl is not installed.
    """
    return foot_distances(closest_simplices(points, vertices, simplices, least_area), points, vertices, simplices)


def mesh_to_points(points: Float[Tensor, "p 3"],
                   vertices: Float[Tensor, "v 3"],
                   simplices: Int[Tensor, "s c"],
                   least_area: float = 0.0) -> Float[Tensor, "s"]:
    """*Squared* distance from each face (or edge) to the point closest to it; arguments as for :func:`points_to_mesh`.

    Raises:
        ValueError: if there are no points, a vertex index is out of range or a coordinate is not finite.
    """
    return foot_distances(closest_points(points, vertices, simplices, least_area), points, vertices, simplices)


def foot_distances(feet: Feet, points: Float[Tensor, "p 3"], vertices: Float[Tensor, "v 3"],
                   simplices: Int[Tensor, "s c"]) -> Float[Tensor, "n"]:
    """Squared distances between points and their closest points on the mesh, differentiable in points and vertices."""
    corners = vertices.index_select(0, simplices[feet.simplices].reshape(-1)).reshape(*feet.weights.shape, 3)
    places = (feet.weights[..., None] * corners).sum(1)
    return (points.index_select(0, feet.points) - places).square().sum(-1)


@torch.no_grad()
def closest_simplices(points: Float[Tensor, "p 3"],
                      vertices: Float[Tensor, "v 3"],
                      simplices: Int[Tensor, "s c"],
                      least_area: float = 0.0) -> Feet:
    """The face or edge that is closest to each point, found by libigl's tree of boxes on the CPU.

    Raises:
        ValueError: as :func:`points_to_mesh`.
        MissingDependencyError: if libigl is not installed.
    """
    _check(points, vertices, simplices, least_area)
    if not len(simplices):
        raise ValueError("the distance from points to a mesh without faces or edges is undefined")
    places, corners = (x.detach().double().cpu().contiguous() for x in (points, vertices))
    elements, owner = _elements(corners, simplices.cpu().long(), least_area)
    if not len(points):
        found = np.zeros(0, np.int64)
    else:
        found = import_igl().point_mesh_squared_distance(places.numpy(), corners.numpy(), elements.numpy())[1]
    simplex = owner[torch.from_numpy(found)]
    weights = corner_weights(places, corners[simplices.cpu()[simplex]], least_area)
    return Feet(simplex.to(points.device), weights.to(points), torch.arange(len(points), device=points.device))


@torch.no_grad()
def closest_points(points: Float[Tensor, "p 3"],
                   vertices: Float[Tensor, "v 3"],
                   simplices: Int[Tensor, "s c"],
                   least_area: float = 0.0) -> Feet:
    """The point that is closest to each face or edge.

    The distance of the point closest to a simplex's centre is a bound; a closer point is within the bound plus the largest
    distance of the corners from the centre. So all points there are compared. Among equally close ones the lowest index is
    chosen.

    Raises:
        ValueError: as :func:`mesh_to_points`.
    """
    _check(points, vertices, simplices, least_area)
    if not len(points):
        raise ValueError("the distance from a mesh to an empty point cloud is undefined")
    places, corners = points.detach().double().cpu(), vertices.detach().double().cpu()[simplices.cpu()]
    centers = corners.mean(1)
    tree = cKDTree(places.numpy())
    nearest = torch.from_numpy(tree.query(centers.numpy(), workers=torch.get_num_threads())[1])
    reach = (corners - centers[:, None]).norm(dim=-1).amax(1) + _distances(places[nearest], corners, least_area).sqrt()
    # margins far above rounding errors: they add candidates, and don't change the result
    reach = (reach * (1 + 1e-9) + 1e-12 * (places.abs().max() + centers.abs().amax(-1))).numpy()
    best = [
        _closest_within(tree, places, part, reach[rows], least_area) for rows, part in _batches(tree, corners, centers, reach)
    ]
    index = torch.cat([torch.zeros(0, dtype=torch.int64), *best])
    weights = corner_weights(places[index], corners, least_area)
    return Feet(torch.arange(len(simplices), device=points.device), weights.to(points), index.to(points.device))


def corner_weights(points: Float[Tensor, "n 3"],
                   corners: Float[Tensor, "n c 3"],
                   least_area: float = 0.0) -> Float[Tensor, "n c"]:
    """Weights, 0 to 1, of a segment's or triangle's corners for the location closest to a point; one point for each.

    Args:
        points: positions.
        corners: of the simplices.
        least_area: triangles of smaller area, or degenerate ones, are replaced by their edges.
    """
    start = corners if corners.shape[1] == 3 else corners[:, :1]
    along = corners.roll(-1, 1)[:, :start.shape[1]] - start
    away = points[:, None] - start
    squared = along.square().sum(-1)
    part = ((away * along).sum(-1) / torch.where(squared > 0, squared, 1.0)).clamp(0, 1)
    if corners.shape[1] == 2:
        return torch.cat([1 - part, part], 1)
    edge = (away - part[..., None] * along).square().sum(-1).argmin(1, keepdim=True)
    part = part.gather(1, edge)
    on_edge = torch.zeros_like(corners[..., 0]).scatter(1, edge, 1 - part).scatter(1, (edge + 1) % 3, part)
    inner, within = _plane_weights(along[:, 0], -along[:, 2], away[:, 0], least_area)
    return torch.where(within[:, None], inner, on_edge)


def _plane_weights(b: Float[Tensor, "n 3"], c: Float[Tensor, "n 3"], points: Float[Tensor, "n 3"],
                   least_area: float) -> tuple[Float[Tensor, "n 3"], Bool[Tensor, "n"]]:
    """Barycentric coordinates of projections onto triangles (0, b, c); which are inside one that isn't degenerate."""
    normal = torch.linalg.cross(b, c)
    squared = normal.square().sum(-1)
    of_b, of_c = (torch.linalg.cross(points, c) * normal).sum(-1), (torch.linalg.cross(b, points) * normal).sum(-1)
    areas = torch.stack([squared - of_b - of_c, of_b, of_c], -1)
    within = (areas >= 0).all(-1) & (squared > 0) & (squared.sqrt() >= 2 * least_area)
    return areas / torch.where(squared > 0, squared, 1.0)[:, None], within


def _distances(points: Float[Tensor, "n 3"], corners: Float[Tensor, "n c 3"], least_area: float) -> Float[Tensor, "n"]:
    """Squared distances of points from their simplices."""
    feet = (corner_weights(points, corners, least_area)[..., None] * corners).sum(1)
    return (points - feet).square().sum(-1)


def _elements(vertices: Float[Tensor, "v 3"], simplices: Int[Tensor, "s c"], least_area: float) -> tuple[Tensor, Tensor]:
    """Simplices passed to libigl, and the original index of each: small faces become their edges, as triangles (a, b, b)."""
    owner = torch.arange(len(simplices))
    if simplices.shape[1] == 2 or least_area <= 0:
        return simplices, owner
    a, b, c = vertices[simplices].unbind(1)
    small = torch.linalg.cross(b - a, c - a).square().sum(-1).sqrt() < 2 * least_area  # to the digit as in _plane_weights
    edges = simplices[small][:, [[0, 1, 1], [1, 2, 2], [2, 0, 0]]].reshape(-1, 3)
    return torch.cat([simplices[~small], edges]), torch.cat([owner[~small], owner[small].repeat_interleave(3)])


def _batches(tree: cKDTree, corners: Float[Tensor, "s c 3"], centers: Float[Tensor, "s 3"], reach: Float[np.ndarray, "s"]):
    """Consecutive simplices, as a slice and their corners, with about ``CHUNK`` points within reach of them."""
    counts = tree.query_ball_point(centers.numpy(), reach, return_length=True)
    cuts = np.searchsorted(counts.cumsum(), np.arange(CHUNK, counts.sum(), CHUNK), "right")
    for start, stop in pairwise(np.unique([0, *cuts, len(counts)])):
        yield slice(start, stop), corners[start:stop]


def _closest_within(tree: cKDTree, points: Float[Tensor, "p 3"], corners: Float[Tensor, "s c 3"],
                    reach: Float[np.ndarray, "s"], least_area: float) -> Int[Tensor, "s"]:
    """Of the points within reach of each simplex's centre (never empty), the one closest to the simplex."""
    near = tree.query_ball_point(corners.mean(1).numpy(), reach, return_sorted=True)
    counts = torch.tensor([len(each) for each in near])
    candidates = torch.from_numpy(np.concatenate(near).astype(np.int64))
    owner = torch.arange(len(counts)).repeat_interleave(counts)
    distances = _distances(points[candidates], corners[owner], least_area)
    least = torch.full((len(counts), ), torch.inf, dtype=distances.dtype).scatter_reduce(0, owner, distances, "amin")
    matches = torch.where(distances == least[owner], candidates, len(points))
    return torch.full((len(counts), ), len(points)).scatter_reduce(0, owner, matches, "amin")


def _check(points: Tensor, vertices: Tensor, simplices: Tensor, least_area: float):
    if simplices.ndim != 2 or simplices.shape[1] not in (2, 3):
        raise ValueError(f"simplices must be (f, 3) faces or (e, 2) edges, got shape {tuple(simplices.shape)}")
    if not least_area >= 0:
        raise ValueError(f"least_area must be 0 or more, got {least_area}")
    if not points.isfinite().all():
        raise ValueError("points has coordinates that are not finite")
    check_mesh(vertices, simplices)
