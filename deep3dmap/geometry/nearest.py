"""Nearest neighbours, neighbours within a radius, and farthest-point sampling, in batches of point clouds of any dimension.

A batch is an array padded to its largest cloud, with the number of points in each; the padding is ignored.
Neighbours are *found* without gradients, by a kd-tree (Bentley 1975) on the CPU and by all distances on a GPU. The distances
are then recomputed differentiably.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

Norm = Literal[1, 2]
Counts = Int[Tensor, "_"] | Sequence[int] | None

#: Most distances held at once by searches without a tree.
CHUNK = 2**24

#: Dimensions beyond which a kd-tree visits most of its points.
TREE_DIMENSIONS = 16


class Neighbours(NamedTuple):
    """Points of one cloud near to points of another.

    Attributes:
        distances: to each neighbour, as ``norm`` says; 0 where there is none.
        index: of each neighbour in its cloud; -1 where there is none.
    """

    distances: Float[Tensor, "n p k"]
    index: Int[Tensor, "n p k"]


def cloud_counts(points: Float[Tensor, "n p d"], counts: Counts, name: str) -> list[int]:
    """Number of points in each cloud of a batch: as given, or all of them.

    Raises:
        ValueError: that names the argument, for an array that isn't (n, p, d), counts that don't fit it, and for coordinates
            that are not finite.
    """
    if points.ndim != 3:
        raise ValueError(f"{name} must be (clouds, points, dimensions), got shape {tuple(points.shape)}")
    size = points.shape[1]
    lengths = [size] * len(points) if counts is None else [int(count) for count in counts]
    if len(lengths) != len(points) or not all(0 <= length <= size for length in lengths):
        raise ValueError(f"counts of {name} must be {len(points)} numbers from 0 to {size}, got {lengths}")
    if not all(cloud[:length].isfinite().all() for cloud, length in zip(points, lengths)):
        raise ValueError(f"{name} has coordinates that are not finite")
    return lengths


def cloud_mask(points: Float[Tensor, "n p d"], counts: Sequence[int]) -> Bool[Tensor, "n p"]:
    """Which entries of a padded batch are points."""
    return torch.arange(points.shape[1], device=points.device) < torch.tensor(counts, device=points.device)[:, None]


def without_padding(points: Float[Tensor, "n p d"], counts: Sequence[int]) -> Float[Tensor, "n p d"]:
    """The batch with zeros in its padding, so that values and gradients do not depend on it."""
    if all(count == points.shape[1] for count in counts):
        return points
    return torch.where(cloud_mask(points, counts)[..., None], points, 0.0)


def gather(values: Float[Tensor, "n q c"], index: Int[Tensor, "n p k"]) -> Float[Tensor, "n p k c"]:
    """Rows of each cloud's values by neighbour; zeros for neighbours that don't exist (-1)."""
    clouds, size, channels = values.shape
    if not size:
        return values.new_zeros(*index.shape, channels)
    start = torch.arange(clouds, device=index.device)[:, None, None] * size
    rows = values.reshape(-1, channels).index_select(0, (index.clamp(min=0) + start).reshape(-1))
    return torch.where((index >= 0)[..., None], rows.reshape(*index.shape, channels), 0.0)


def nearest(queries: Float[Tensor, "n p d"],
            points: Float[Tensor, "m q c"],
            k: int = 1,
            *,
            norm: Norm = 2,
            query_counts: Counts = None,
            point_counts: Counts = None) -> Neighbours:
    """The ``k`` points nearest to each query, nearest first.

    Args:
        queries: positions, in any unit.
        points: as many clouds of the same dimension, which are searched.
        k: neighbours of each query; a smaller cloud gives fewer.
        norm: 2 gives *squared* Euclidean distances, 1 sums of absolute differences.
        query_counts, point_counts: number of points in each cloud; all by default.

    Returns:
        Distances, differentiable in both sets, and indices. Which of several equally near points comes first is not defined.

    Raises:
        ValueError: if ``k`` or ``norm`` is out of range, the batches don't fit together, or a coordinate is not finite.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, got {k}")
    many, few = _checked_pair(queries, points, query_counts, point_counts, norm)
    index = torch.full((*queries.shape[:2], k), -1, device=queries.device)
    for i, (rows, size) in enumerate(zip(many, few)):
        if rows and size:
            index[i, :rows, :min(k, size)] = _search(queries[i, :rows].detach(), points[i, :size].detach(), min(k, size), norm)
    return _neighbours(without_padding(queries, many), without_padding(points, few), index, norm)


def within_radius(queries: Float[Tensor, "n p d"],
                  points: Float[Tensor, "m q c"],
                  k: int,
                  radius: float,
                  *,
                  query_counts: Counts = None,
                  point_counts: Counts = None) -> Neighbours:
    """The first ``k`` points, by index, that are closer to each query than ``radius``.

    Compares all pairs. Source: the ball query of Qi et al., "PointNet++", NeurIPS 2017, section 3.2.

    Args:
        queries: positions, in any unit.
        points: as many clouds of the same dimension.
        k: most neighbours of a query.
        radius: their distance is smaller, in the unit of the points.
        query_counts, point_counts: number of points in each cloud; all by default.

    Returns:
        *Squared* distances, differentiable in both sets, and indices, ascending.

    Raises:
        ValueError: if ``k`` or ``radius`` is out of range, the batches don't fit together, or a coordinate is not finite.
    """
    if k < 1 or not radius > 0:
        raise ValueError(f"k must be 1 or more and radius positive, got k={k}, radius={radius}")
    many, few = _checked_pair(queries, points, query_counts, point_counts, 2)
    index = torch.full((*queries.shape[:2], k), -1, device=queries.device)
    for i, (rows, size) in enumerate(zip(many, few)):
        for part in _chunks(rows, size):
            index[i, part, :min(k, size)] = _first_within(queries[i, part].detach(), points[i, :size].detach(), k, radius)
    return _neighbours(without_padding(queries, many), without_padding(points, few), index, 2)


def farthest_points(points: Float[Tensor, "n p d"],
                    k: int | Sequence[int] | Int[Tensor, "_"],
                    *,
                    counts: Counts = None,
                    starts: Sequence[int] | None = None) -> tuple[Float[Tensor, "n k d"], Int[Tensor, "n k"]]:
    """Farthest-point sampling: each next point is the farthest from all before it.

    Source: Eldar et al., "The farthest point strategy for progressive image sampling", 1997; as in PointNet++, section 3.2.

    Args:
        points: positions, in any unit.
        k: points to choose, one number or one for each cloud; a smaller cloud gives all of its points.
        counts: number of points in each cloud; all by default.
        starts: index of each cloud's first point; 0 by default.

    Returns:
        The chosen points, differentiable, and their indices; 0 and -1 after the last of a cloud. Of equally far points the
        one with the lowest index is next.

    Raises:
        ValueError: if a ``k`` is below 1, a start is not a point of its cloud, or a coordinate is not finite.
    """
    lengths = cloud_counts(points, counts, "points")
    wanted = [k] * len(points) if isinstance(k, int) else [int(each) for each in k]
    if len(wanted) != len(points) or min(wanted, default=1) < 1:
        raise ValueError(f"k must be 1 or more, one number or one for each of {len(points)} clouds; got {k}")
    first = [0] * len(points) if starts is None else list(starts)
    if len(first) != len(points) or not all(0 <= start < max(length, 1) for start, length in zip(first, lengths)):
        raise ValueError(f"starts must be a point of each cloud, of {lengths} points; got {first}")
    index = torch.full((len(points), max(wanted, default=1)), -1, device=points.device)
    for i, (length, start) in enumerate(zip(lengths, first)):
        chosen = _spread(points[i, :length].detach(), min(wanted[i], length), start)
        index[i, :len(chosen)] = chosen
    return gather(without_padding(points, lengths), index[:, None])[:, 0], index


def _checked_pair(queries: Tensor, points: Tensor, query_counts: Counts, point_counts: Counts,
                  norm: int) -> tuple[list[int], list[int]]:
    many, few = cloud_counts(queries, query_counts, "queries"), cloud_counts(points, point_counts, "points")
    if len(queries) != len(points) or queries.shape[2] != points.shape[2]:
        raise ValueError("queries and points must have as many clouds and dimensions, "
                         f"got shapes {tuple(queries.shape)} and {tuple(points.shape)}")
    if norm not in (1, 2):
        raise ValueError(f"norm must be 1 or 2, got {norm}")
    return many, few


def _neighbours(queries: Tensor, points: Tensor, index: Int[Tensor, "n p k"], norm: int) -> Neighbours:
    """The distances to neighbours that were found, differentiable."""
    apart = queries[:, :, None] - gather(points, index)
    distances = (apart.abs() if norm == 1 else apart.square()).sum(-1)
    return Neighbours(torch.where(index >= 0, distances, 0.0), index)


def _search(queries: Float[Tensor, "p d"], points: Float[Tensor, "q d"], k: int, norm: int) -> Int[Tensor, "p k"]:
    """Indices of the ``k`` nearest of at least as many points."""
    if queries.device.type != "cpu" or queries.shape[1] > TREE_DIMENSIONS:
        return torch.cat([_search_all(queries[part], points, k, norm) for part in _chunks(len(queries), len(points))])
    tree = cKDTree(points.double().numpy())
    found = tree.query(queries.double().numpy(), np.arange(1, k + 1), p=norm, workers=torch.get_num_threads())[1]
    return torch.from_numpy(found)


def _search_all(queries: Float[Tensor, "p d"], points: Float[Tensor, "q d"], k: int, norm: int) -> Int[Tensor, "p k"]:
    """The same by all distances, computed from differences (products of matrices cancel digits)."""
    distances = torch.cdist(queries, points, norm, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.topk(k, largest=False).indices


def _first_within(queries: Float[Tensor, "p d"], points: Float[Tensor, "q d"], k: int, radius: float) -> Int[Tensor, "p _"]:
    """Lowest indices of points closer than the radius, ascending; -1 after the last."""
    near = torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist") < radius
    number = torch.arange(len(points), device=points.device)
    first = torch.where(near, number, len(points)).topk(min(k, len(points)), largest=False, sorted=True).values
    return torch.where(first < len(points), first, -1)


def _spread(points: Float[Tensor, "p d"], k: int, start: int) -> Int[Tensor, "k"]:
    """Indices of farthest points of one cloud, from a start."""
    chosen = torch.full((k, ), start, device=points.device)
    distance = torch.full_like(points[:, 0], torch.inf)
    for i in range(1, k):
        distance = torch.minimum(distance, (points - points[chosen[i - 1]]).square().sum(-1))
        chosen[i] = distance.argmax()
    return chosen


def _chunks(rows: int, columns: int) -> list[slice]:
    """Parts of the rows for which all columns fit into memory; none without rows or columns."""
    step = max(1, CHUNK // max(columns, 1))
    return [slice(start, min(start + step, rows)) for start in range(0, rows if columns else 0, step)]
