"""Distances between two point sets (the Chamfer distance of Fan et al., CVPR 2017, eq. 1, and its variants)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.nearest import Counts, Norm, cloud_counts, cloud_mask, gather, nearest, without_padding
from deep3dmap.geometry.triangles import sample_surface_normals
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.structures.meshes import Meshes

Reduction = Literal["mean", "sum", "max"]


class Clouds(NamedTuple):
    """A batch of point clouds, padded to the largest.

    Attributes:
        points: positions; the padding is ignored.
        counts: number of points in each cloud; all by default.
        normals: of the points, of any length.
    """

    points: Float[Tensor, "n p d"]
    counts: Counts = None
    normals: Float[Tensor, "n p d"] | None = None


class Discrepancy(NamedTuple):
    """Distances of every point of a cloud to the other cloud; 0 in the padding.

    Attributes:
        distances: to the nearest point, as ``norm`` says.
        normals: 1 minus the cosine of the angle to that point's normal; None without normals.
    """

    distances: Float[Tensor, "n p"]
    normals: Float[Tensor, "n p"] | None


def discrepancy(x: Clouds, y: Clouds, norm: Norm = 2, signed: bool = False) -> Discrepancy:
    """One way of the Chamfer distance: from every point of ``x`` to the nearest of ``y``.

    Args:
        x, y: as many clouds of the same dimension.
        norm: 2 for squared Euclidean distances, 1 for sums of absolute differences.
        signed: whether normals that point in opposite directions differ; otherwise they are lines.

    Raises:
        ValueError: if the clouds don't fit together, one is empty, a coordinate is not finite, or only one has normals.
    """
    many, few = cloud_counts(x.points, x.counts, "x"), cloud_counts(y.points, y.counts, "y")
    if 0 in many or 0 in few:
        raise ValueError(f"x and y must have points in every cloud, got {many} and {few} points")
    if len(many) != len(few) or x.points.shape[2] != y.points.shape[2]:
        raise ValueError("x and y must have as many clouds and dimensions, "
                         f"got shapes {tuple(x.points.shape)} and {tuple(y.points.shape)}")
    if (x.normals is None) != (y.normals is None):
        raise ValueError("x and y must both have normals, or none of them")
    found = nearest(x.points, y.points, norm=norm, query_counts=many, point_counts=few)
    if x.normals is None:
        return Discrepancy(found.distances[..., 0], None)
    if x.normals.shape != x.points.shape or y.normals.shape != y.points.shape:
        raise ValueError(f"normals must be those of the points, got {tuple(x.normals.shape)} and {tuple(y.normals.shape)} "
                         f"for points {tuple(x.points.shape)} and {tuple(y.points.shape)}")
    there = gather(without_padding(y.normals, few), found.index)[:, :, 0]
    cosines = functional.cosine_similarity(without_padding(x.normals, many), there, dim=-1)
    apart = 1 - (cosines if signed else cosines.abs())
    return Discrepancy(found.distances[..., 0], torch.where(cloud_mask(x.points, many), apart, 0.0))


def reduce_points(values: Float[Tensor, "n p"], counts: Counts = None, reduction: Reduction = "mean") -> Float[Tensor, "n"]:
    """One number for each cloud; ``values`` are 0 in the padding and not negative."""
    if reduction == "max":
        return values.amax(1)
    sums = values.sum(1)
    return sums if reduction == "sum" else sums / (values.shape[1] if counts is None else torch.as_tensor(counts).to(sums))


def chamfer(x: Clouds,
            y: Clouds,
            *,
            weights: Float[Tensor, "_"] | None = None,
            point_reduction: Reduction = "mean",
            cloud_reduction: Literal["mean", "sum"] = "mean",
            norm: Norm = 2,
            both_ways: bool = True,
            signed: bool = False) -> tuple[Float[Tensor, ""], Float[Tensor, ""] | None]:
    """The Chamfer distance of two batches of clouds.

    Args:
        x, y, norm, signed: as for :func:`discrepancy`.
        weights: of each pair of clouds.
        point_reduction: how the points of a cloud are reduced. The two directions are added; for ``max``, the larger is taken
            (for one pair of clouds the squared Hausdorff distance).
        cloud_reduction: how the clouds are reduced; the mean is over their weights.
        both_ways: also from ``y`` to ``x``.

    Returns:
        The distance, and the same of the normals (None without them).

    Raises:
        ValueError: as of :func:`discrepancy`; for unknown reductions, and weights that are negative or all 0.
    """
    if point_reduction not in ("mean", "sum", "max") or cloud_reduction not in ("mean", "sum"):
        raise ValueError("point_reduction must be 'mean', 'sum' or 'max', cloud_reduction 'mean' or 'sum'; "
                         f"got {point_reduction!r} and {cloud_reduction!r}")
    share = _shares(weights, len(x.points), cloud_reduction).to(x.points)
    pairs = ((x, y), (y, x)) if both_ways else ((x, y), )
    ways = [discrepancy(*pair, norm, signed) for pair in pairs]

    def reduced(values: list[Tensor]) -> Tensor:
        each = [reduce_points(value, pair[0].counts, point_reduction) for value, pair in zip(values, pairs)]
        totals = (torch.stack(each) * share).sum(1)
        return totals.amax() if point_reduction == "max" else totals.sum()

    return reduced([way.distances for way in ways]), None if x.normals is None else reduced([way.normals for way in ways])


def _shares(weights: Tensor | None, count: int, cloud_reduction: str) -> Float[Tensor, "n"]:
    """Factor of each pair of clouds in the sum."""
    if weights is None:
        weights = torch.ones(count)
    if len(weights) != count or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"weights must be {count} numbers of 0 or more, not all 0; got {weights.tolist()}")
    return weights / weights.sum() if cloud_reduction == "mean" else weights


@LOSSES.register_module()
class ChamferLoss(Loss):
    """Mean squared distances between predicted and true points, both ways.

    Args:
        weight: a number or a schedule.
        norm: 2 for squared Euclidean distances, 1 for sums of absolute differences.
        point_reduction: ``mean`` over each cloud's points, ``sum``, or ``max``.
        both_ways: also from the true points to the predicted ones.
        normals: weight of the normals' difference (1 minus the cosine), relative to that of the distances.
        samples: draws that many points from the surface of each predicted mesh; None takes predicted points.
    """

    def __init__(self,
                 weight: float | Sequence[float] | dict = 1.0,
                 norm: Norm = 2,
                 point_reduction: Reduction = "mean",
                 both_ways: bool = True,
                 normals: float = 0.0,
                 samples: int | None = None):
        super().__init__(weight)
        if samples is not None and samples < 1:
            raise ConfigError(f"ChamferLoss.samples must be 1 or more, got {samples}")
        self.options = dict(norm=norm, point_reduction=point_reduction, both_ways=both_ways)
        self.normals, self.samples = normals, samples

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``meshes`` with ``samples``; otherwise ``points`` (n, p, 3), with ``point_normals`` (n, p, 3) if normals
                count, and ``point_counts`` (n,) if the clouds are padded.
            inputs: the true ones: ``points`` (n, q, 3), ``point_normals`` and ``point_counts`` as above.
        """
        predicted = outputs if self.samples is None else _sampled(outputs["meshes"], self.samples)
        distance, apart = chamfer(self._clouds(predicted), self._clouds(inputs), **self.options)
        return distance if apart is None else distance + self.normals * apart

    def _clouds(self, given: dict) -> Clouds:
        return Clouds(given["points"], given.get("point_counts"), given["point_normals"] if self.normals else None)


def _sampled(meshes: Meshes, count: int) -> dict[str, Tensor]:
    """Points drawn from each mesh's surface, and normals."""
    points, normals = zip(*(sample_surface_normals(*mesh, count) for mesh in meshes.unpack()))
    return dict(points=torch.stack(points), point_normals=torch.stack(normals))
