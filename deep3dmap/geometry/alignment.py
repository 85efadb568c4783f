"""Aligning one set of points or cameras with another by a similarity."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from deep3dmap.geometry.transforms import affine

#: Singular values this much below the largest count as 0: the points lie on one line, or in one plane.
FLAT = 1e-6


class _NearestRotation(torch.autograd.Function):
    """The rotation R that maximises ``trace(R^T matrix)``, and the singular values with the last one's sign.

    Its gradient divides by sums of singular values, where that of the singular vectors divides by their differences, which
    are 0 for symmetric point sets. From ``matrix = R P`` with P symmetric: ``W = R^T dR`` solves
    ``W P + P W = R^T dmatrix - dmatrix^T R``.
    """

    @staticmethod
    def forward(ctx, matrix: Float[Tensor, "3 3"], allow_reflection: bool) -> tuple[Tensor, Tensor]:
        u, singular, vh = torch.linalg.svd(matrix)
        signs = torch.ones_like(singular)
        if not allow_reflection or singular[-1] <= FLAT * singular[0]:
            signs[-1] = torch.linalg.det(u @ vh).sign()
        rotation, signed = u * signs @ vh, singular * signs
        ctx.save_for_backward(rotation, signed, vh)
        return rotation, signed

    @staticmethod
    @once_differentiable
    def backward(ctx, by_rotation: Tensor, by_singular: Tensor) -> tuple[Tensor, None]:
        rotation, signed, vh = ctx.saved_tensors
        turned = vh @ rotation.T @ by_rotation @ vh.T
        sums = signed[:, None] + signed
        undetermined = sums.abs() <= FLAT * signed[0]
        spin = torch.where(undetermined, 0.0, (turned - turned.T) / torch.where(undetermined, 1.0, sums))
        return rotation @ vh.T @ (spin + torch.diag(by_singular)) @ vh, None


def _nearest_rotation(matrix: Float[Tensor, "3 3"],
                      allow_reflection: bool = False) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """The proper rotation (or any orthogonal matrix) R that maximises ``trace(R^T matrix)``, and signed singular values."""
    return _NearestRotation.apply(matrix, allow_reflection)


def _check_same(source: Tensor, target: Tensor, least: int, what: str):
    if len(source) != len(target) or len(source) < least:
        raise ValueError(
            f"alignment needs {least} or more {what} on both sides, in pairs; got {len(source)} and {len(target)}")


def _check_finite(**values: Tensor):
    for name, value in values.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: must be finite, some values are not")


def _check_weights(weights: Tensor, count: int):
    _check_finite(weights=weights)
    if len(weights) != count or (weights < 0).any() or not weights.sum() > 0:
        raise ValueError(f"weights: {count} are needed, none negative and some positive; got {len(weights)} "
                         f"from {float(weights.min()) if len(weights) else 0} with sum {float(weights.sum())}")


def align_points(source: Float[Tensor, "n 3"],
                 target: Float[Tensor, "m 3"],
                 with_scale: bool = True,
                 weights: Float[Tensor, "k"] | None = None,
                 allow_reflection: bool = False) -> Float[Tensor, "4 4"]:
    """Similarity that takes source points to their target partners with the least sum of *squared* distances.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, eqs. 40-43.

    Args:
        source, target: partners row by row, three or more that don't lie on one line.
        with_scale: False keeps the scale at 1 (a rigid motion).
        weights: of the pairs' squared distances, none negative; all the same by default.
        allow_reflection: whether the result may be a reflection, if that fits better. Points in one plane are never mirrored.

    Returns:
        (4, 4) matrix, differentiable with respect to points and weights (once).

    Raises:
        ValueError: if there are fewer than three pairs, if the points of a set lie on one line, if a point or weight is not
            finite, or if there is a negative weight, or none that is positive.
    """
    _check_same(source, target, 3, "points")
    _check_finite(source=source, target=target)
    if weights is not None:
        _check_weights(weights, len(source))
        weights = (weights / weights.sum())[:, None]
    source_mean, target_mean = _mean(source, weights), _mean(target, weights)
    centered, partners = source - source_mean, target - target_mean
    rotation, scale = _turn_and_growth(centered, partners, weights, allow_reflection)
    scale = scale if with_scale else torch.ones(()).to(source)
    return affine(scale * rotation, target_mean - scale * rotation @ source_mean)


def _turn_and_growth(source: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"], weights: Float[Tensor, "n 1"] | None,
                     allow_reflection: bool) -> tuple[Float[Tensor, "3 3"], Float[Tensor, ""]]:
    """Rotation and scale that take source to target points about the origin, weights of sum 1."""
    covariance = target.T @ source / len(source) if weights is None else target.T @ (weights * source)
    rotation, singular = _nearest_rotation(covariance, allow_reflection)
    if singular[1] <= FLAT * singular[0] or singular[0] == 0:
        raise ValueError("the points lie on one line (or coincide): their rotation is not determined")
    return rotation, singular.sum() / _mean(source.pow(2).sum(-1, True), weights)[0]


def _mean(values: Float[Tensor, "n c"], weights: Float[Tensor, "n 1"] | None) -> Float[Tensor, "c"]:
    return values.mean(0) if weights is None else (weights * values).sum(0)


def fit_scale_and_translation(source: Float[Tensor, "n 3"],
                              target: Float[Tensor, "m 3"]) -> tuple[Float[Tensor, ""], Float[Tensor, "3"]]:
    """Scale and translation that minimise the sum of *distances* ``|target - (scale * source + translation)|``.

    The problem is convex (a geometric median with a scale) and robust to single outliers, unlike least squares. Solved by
    iteratively reweighted least squares (Weiszfeld): each pair is weighted by the inverse of its last distance.

    Raises:
        ValueError: if there are fewer than two pairs, or all source points coincide.
    """
    _check_same(source, target, 2, "points")
    spread = (target - target.mean(0)).norm(dim=-1).mean()
    if (source - source[0]).abs().max() == 0:
        raise ValueError("all points to align are the same point: their scale is not determined")
    weights = torch.ones_like(source[:, :1])
    for _ in range(1000):
        weights = weights / weights.sum()
        source_mean, target_mean = (weights * source).sum(0), (weights * target).sum(0)
        x, y = source - source_mean, target - target_mean
        scale = (weights * x * y).sum() / (weights * x * x).sum()
        translation = target_mean - scale * source_mean
        distance = (y - scale * x).norm(dim=-1, keepdim=True)
        updated = 1 / distance.clamp(min=1e-9 * float(spread) + 1e-30)
        change = (updated / updated.sum() - weights).abs().max()
        weights = updated
        if change < 1e-12:
            break
    return scale, translation


def align_cameras(rotations: Float[Tensor, "n 3 3"], centers: Float[Tensor, "n 3"], true_rotations: Float[Tensor, "n 3 3"],
                  true_centers: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, ""], Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """Similarity (scale, rotation, translation) that takes estimated cameras to the true ones.

    Source: the camera evaluation of Yariv et al. 2020 (IDR): the rotation is fitted to the rotations alone, then scale and
    translation minimise the sum of the distances between the centres. A world point x moves to
    ``scale * rotation @ x + translation``; a camera-to-world rotation R becomes ``rotation @ R``.

    Args:
        rotations, true_rotations: camera-to-world.
        centers, true_centers: camera centres.

    Raises:
        ValueError: if there are fewer than two cameras, or all centres coincide.
    """
    _check_same(rotations, true_rotations, 2, "cameras")
    rotation = _nearest_rotation((true_rotations.double() @ rotations.double().mT).sum(0))[0]  # chordal mean
    scale, translation = fit_scale_and_translation(centers.double() @ rotation.T, true_centers.double())
    return scale.to(centers), rotation.to(centers), translation.to(centers)
