"""How far two sets of points are from each other (the Chamfer distance of Fan et al., CVPR 2017, eq. 1, and its variants)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.geometry.nearest import Counts, Norm, cloud_counts, cloud_mask, gather, nearest, without_padding
from deep3dmap.geometry.triangles import sample_surface_normals
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.structures.meshes import Meshes

Reduction = Literal["mean", "sum", "max"]


class Discrepancy(NamedTuple):
    """Of every point of a cloud from the other cloud; 0 in the padding.

    Attributes:
        distances: to the nearest point, as ``norm`` says.
        normals: 1 minus the cosine of the angle to that point's normal; None without normals.
    """

    distances: Float[Tensor, "n p"]
    normals: Float[Tensor, "n p"] | None


def discrepancy(x: Float[Tensor, "n p d"],
                y: Float[Tensor, "m q c"],
                *,
                x_counts: Counts = None,
                y_counts: Counts = None,
                x_normals: Float[Tensor, "n p d"] | None = None,
                y_normals: Float[Tensor, "m q c"] | None = None,
                norm: Norm = 2,
                signed: bool = False) -> Discrepancy:
    """One way of the Chamfer distance: from every point of ``x`` to the nearest of ``y``.

    Args:
        x, y: clouds of a batch, padded.
        x_counts, y_counts: number of points in each cloud; all by default.
        x_normals, y_normals: of the points, of any length; both or none.
        norm: 2 for squared Euclidean distances, 1 for sums of absolute differences.
        signed: whether normals that point in opposite directions differ; otherwise they are lines.

    Raises:
        ValueError: if the clouds don't fit together, one is empty, a coordinate is not finite, or only one has normals.
    """
    many, few = cloud_counts(x, x_counts, "x"), cloud_counts(y, y_counts, "y")
    if 0 in many or 0 in few:
        raise ValueError(f"x and y must have points in every cloud, got {many} and {few} points")
    if (x_normals is None) != (y_normals is None):
        raise ValueError("x_normals and y_normals must be given together")
    found = nearest(x, y, norm=norm, query_counts=many, point_counts=few)
    if x_normals is None:
        return Discrepancy(found.distances[..., 0], None)
    x_normals, y_normals = without_padding(x_normals, many), without_padding(y_normals, few)
    cosines = functional.cosine_similarity(x_normals, gather(y_normals, found.index)[:, :, 0], dim=-1)
    apart = 1 - (cosines if signed else cosines.abs())
    return Discrepancy(found.distances[..., 0], torch.where(cloud_mask(x, many), apart, 0.0))


def reduce_points(values: Float[Tensor, "n p"], counts: Counts = None, reduction: Reduction = "mean") -> Float[Tensor, "n"]:
    """One number for each cloud; ``values`` are 0 in the padding and not negative."""
    if reduction == "max":
        return values.amax(1)
    sums = values.sum(1)
    return sums if reduction == "sum" else sums / (values.shape[1] if counts is None else torch.as_tensor(counts).to(sums))


def chamfer(x: Float[Tensor, "n p d"],
            y: Float[Tensor, "m q c"],
            *,
            x_counts: Counts = None,
            y_counts: Counts = None,
            x_normals: Float[Tensor, "n p d"] | None = None,
            y_normals: Float[Tensor, "m q c"] | None = None,
            weights: Float[Tensor, "_"] | None = None,
            points: Reduction = "mean",
            clouds: Literal["mean", "sum"] = "mean",
            norm: Norm = 2,
            both_ways: bool = True,
            signed: bool = False) -> tuple[Float[Tensor, ""], Float[Tensor, ""] | None]:
    """The Chamfer distance of two batches of clouds.

    Args:
        x, y, x_counts, y_counts, x_normals, y_normals, norm, signed: as for :func:`discrepancy`.
        weights: of each pair of clouds.
        points: how the points of a cloud are reduced. Both ways are added; of ``max``, the larger one counts (the squared
            Hausdorff distance of one pair of clouds).
        clouds: how the clouds are reduced; the mean is over their weights.
        both_ways: also from ``y`` to ``x``.

    Returns:
        The distance, and the same of the normals (None without them).

    Raises:
        ValueError: for what :func:`discrepancy` refuses, unknown reductions, and weights that are negative or all 0.
    """
    if points not in ("mean", "sum", "max") or clouds not in ("mean", "sum"):
        raise ValueError(f"points must be 'mean', 'sum' or 'max', clouds 'mean' or 'sum'; got {points!r} and {clouds!r}")
    share = _shares(weights, len(x), clouds).to(x)
    sides = [(x, x_counts, x_normals), (y, y_counts, y_normals)]
    ways = [_one_way(*side, *other, norm, signed) for side, other in (sides, sides[::-1])[:1 + both_ways]]

    def reduced(values: list[Tensor]) -> Tensor:
        each = torch.stack([(reduce_points(value, counts, points) * share).sum()
                            for value, (_, counts, _) in zip(values, sides)])
        return each.amax() if points == "max" else each.sum()

    distance = reduced([way.distances for way in ways])
    return distance, None if x_normals is None else reduced([way.normals for way in ways])


def _one_way(x, x_counts, x_normals, y, y_counts, y_normals, norm: Norm, signed: bool) -> Discrepancy:
    return discrepancy(x, y, x_counts=x_counts, y_counts=y_counts, x_normals=x_normals, y_normals=y_normals, norm=norm,
                       signed=signed)  # yapf: disable


def _shares(weights: Tensor | None, count: int, clouds: str) -> Float[Tensor, "n"]:
    """Factor of each pair of clouds in the sum."""
    if weights is None:
        weights = torch.ones(count)
    if len(weights) != count or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"weights must be {count} numbers of 0 or more, not all 0; got {weights.tolist()}")
    return weights / weights.sum() if clouds == "mean" else weights


@LOSSES.register_module()
class ChamferLoss(Loss):
    """Mean squared distances between predicted and true points, both ways.

    Args:
        weight: a number or a schedule.
        norm: 2 for squared Euclidean distances, 1 for sums of absolute differences.
        points: ``mean`` over each cloud's points, ``sum``, or ``max``.
        both_ways: also from the true points to the predicted ones.
        normals: weight of the normals' difference (1 minus the cosine), relative to that of the distances.
        samples: draws that many points from the surface of each predicted mesh; None takes predicted points.
    """

    def __init__(self,
                 weight: float | Sequence[float] | dict = 1.0,
                 norm: Norm = 2,
                 points: Reduction = "mean",
                 both_ways: bool = True,
                 normals: float = 0.0,
                 samples: int | None = None):
        super().__init__(weight)
        self.options = dict(norm=norm, points=points, both_ways=both_ways)
        self.normals, self.samples = normals, samples

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``meshes`` with ``samples``; otherwise ``points`` (n, p, 3), with ``point_normals`` (n, p, 3) if normals
                count, and ``point_counts`` (n,) if the clouds are padded.
            inputs: the true ones: ``points`` (n, q, 3), ``point_normals`` and ``point_counts`` as above.
        """
        predicted = outputs if self.samples is None else _sampled(outputs["meshes"], self.samples)
        normals = {} if not self.normals else dict(x_normals=predicted["point_normals"], y_normals=inputs["point_normals"])
        distance, apart = chamfer(predicted["points"], inputs["points"], x_counts=predicted.get("point_counts"),
                                  y_counts=inputs.get("point_counts"), **normals, **self.options)  # yapf: disable
        return distance if apart is None else distance + self.normals * apart


def _sampled(meshes: Meshes, count: int) -> dict[str, Tensor]:
    """Points and normals drawn from each mesh's surface."""
    points, normals = zip(*(sample_surface_normals(*mesh, count) for mesh in meshes.unpack()))
    return dict(points=torch.stack(points), point_normals=torch.stack(normals))
