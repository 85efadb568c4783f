"""Distances between points and the faces or edges of a mesh, both ways, differentiable in both.

The closest place of a simplex (a triangle, or a segment) is found without gradients, in double precision, as weights of its
corners. The squared distance is computed anew from these weights. They minimise it, so its gradient is exact although they are
held fixed (Danskin's theorem); second derivatives are not.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from deep3dmap.geometry.closed_meshes import import_igl
from deep3dmap.geometry.mesh_operators import check_mesh

#: Most pairs of a point and a simplex compared at once.
CHUNK = 2**18

#: Points that are compared with each simplex in the first round.
FIRST = 4


class Feet(NamedTuple):
    """Where on a mesh something is closest.

    Attributes:
        simplices: index of the face or edge.
        weights: of its corners, at the closest place.
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
        least_area: of faces smaller than that only the edges count; squared units.

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
    """Squared distances between points and their closest places, differentiable in points and vertices."""
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
        raise ValueError("a mesh without faces or edges has no distance to points")
    places, corners = points.detach().double().cpu(), vertices.detach().double().cpu()
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

    A point is no closer to a simplex than its distance from the centre minus the corners' largest one. So points are tried in
    order of their distance from the centre, twice as many in every round, until the next can't be closer.

    Raises:
        ValueError: as :func:`mesh_to_points`.
    """
    _check(points, vertices, simplices, least_area)
    if not len(points):
        raise ValueError("a mesh has no distance to no points")
    places, corners = points.detach().double().cpu(), vertices.detach().double().cpu()[simplices.cpu()]
    centers = corners.mean(1)
    radii = (corners - centers[:, None]).norm(dim=-1).amax(1)
    tree = cKDTree(places.numpy())
    best, open_ = torch.zeros(len(corners), dtype=torch.int64), torch.arange(len(corners))
    tried = FIRST
    while len(open_):
        tried = min(tried, len(places))
        near, reach = _in_order(tree, centers[open_], tried)
        distance, which = _least(places, corners[open_], near, least_area)
        best[open_] = near.gather(1, which[:, None])[:, 0]
        # the margin is far above rounding: one more round for a few simplices, and no other outcome
        settled = reach - radii[open_] > distance.sqrt() * (1 + 1e-9)
        open_, tried = open_[~settled & (tried < len(places))], 2 * tried
    weights = corner_weights(places[best], corners, least_area)
    return Feet(torch.arange(len(simplices), device=points.device), weights.to(points), best.to(points.device))


def corner_weights(points: Float[Tensor, "n 3"],
                   corners: Float[Tensor, "n c 3"],
                   least_area: float = 0.0) -> Float[Tensor, "n c"]:
    """Weights, 0 to 1, of a segment's or triangle's corners at the place closest to a point; one point for each.

    Args:
        points: positions.
        corners: of the simplices.
        least_area: of triangles smaller than that, or flat, only the edges count.
    """
    if corners.shape[1] == 2:
        return _segment_weights(points, *corners.unbind(1))
    inner, within = _plane_weights(points, corners, least_area)
    candidates = points.new_zeros(len(points), 3, 3)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        candidates[:, i, [i, j]] = _segment_weights(points, corners[:, i], corners[:, j])
    distances = (points[:, None] - candidates @ corners).square().sum(-1)
    closest = candidates.gather(1, distances.argmin(1)[:, None, None].expand(-1, 1, 3))[:, 0]
    return torch.where(within[:, None], inner, closest)


def _segment_weights(points: Float[Tensor, "n 3"], start: Float[Tensor, "n 3"], end: Float[Tensor,
                                                                                           "n 3"]) -> Float[Tensor, "n 2"]:
    along = end - start
    squared = along.square().sum(-1)
    part = ((points - start) * along).sum(-1) / torch.where(squared > 0, squared, 1.0)
    part = part.clamp(0, 1)
    return torch.stack([1 - part, part], -1)


def _plane_weights(points: Float[Tensor, "n 3"], corners: Float[Tensor, "n 3 3"], least_area: float) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates of the points' projections, and which lie within triangles that count."""
    a, b, c = corners.unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    squared = normal.square().sum(-1)
    opposite = torch.stack([c - b, a - c, b - a], 1)
    areas = (torch.linalg.cross(opposite, points[:, None] - corners.roll(-1, 1)) * normal[:, None]).sum(-1)
    weights = areas / torch.where(squared > 0, squared, 1.0)[:, None]
    within = (weights >= 0).all(-1) & (squared > 0) & (squared.sqrt() >= 2 * least_area)
    return weights, within


def _elements(vertices: Float[Tensor, "v 3"], simplices: Int[Tensor, "s c"], least_area: float) -> tuple[Tensor, Tensor]:
    """What libigl measures to, and which simplex each is from: small faces become their edges, as triangles (a, b, b)."""
    owner = torch.arange(len(simplices))
    if simplices.shape[1] == 2 or least_area <= 0:
        return simplices, owner
    a, b, c = vertices[simplices].unbind(1)
    small = torch.linalg.cross(b - a, c - a).norm(dim=-1) < 2 * least_area
    edges = simplices[small][:, [[0, 1, 1], [1, 2, 2], [2, 0, 0]]].reshape(-1, 3)
    return torch.cat([simplices[~small], edges]), torch.cat([owner[~small], owner[small].repeat_interleave(3)])


def _in_order(tree: cKDTree, centers: Float[Tensor, "s 3"], count: int) -> tuple[Int[Tensor, "s k"], Float[Tensor, "s"]]:
    """Points nearest to each centre, and the distance of the last."""
    distances, index = tree.query(centers.numpy(), np.arange(1, count + 1), workers=torch.get_num_threads())
    return torch.from_numpy(index), torch.from_numpy(distances[:, -1].copy())


def _least(points: Float[Tensor, "p 3"], corners: Float[Tensor, "s c 3"], near: Int[Tensor, "s k"],
           least_area: float) -> tuple[Float[Tensor, "s"], Int[Tensor, "s"]]:
    """The least squared distance of each simplex from its candidates, and which it is."""
    parts = []
    for rows, simplex in zip(near.split(max(1, CHUNK // near.shape[1])), corners.split(max(1, CHUNK // near.shape[1]))):
        repeated, places = simplex.repeat_interleave(near.shape[1], 0), points[rows.reshape(-1)]
        feet = (corner_weights(places, repeated, least_area)[..., None] * repeated).sum(1)
        parts.append((places - feet).square().sum(-1).reshape(rows.shape).min(1))
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def _check(points: Tensor, vertices: Tensor, simplices: Tensor, least_area: float):
    if simplices.ndim != 2 or simplices.shape[1] not in (2, 3):
        raise ValueError(f"simplices must be (f, 3) faces or (e, 2) edges, got shape {tuple(simplices.shape)}")
    if not least_area >= 0:
        raise ValueError(f"least_area must be 0 or more, got {least_area}")
    if not points.isfinite().all():
        raise ValueError("points has coordinates that are not finite")
    check_mesh(vertices, simplices)
