"""Aligning one set of points or cameras with another by a similarity."""

import torch
from jaxtyping import Float
from torch import Tensor


def _nearest_rotation(matrix: Float[Tensor, "3 3"]) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]:
    """The proper rotation R that maximises ``trace(R^T matrix)``, and the singular values with the last one's sign."""
    u, singular, vh = torch.linalg.svd(matrix)
    signs = torch.ones_like(singular)
    signs[-1] = torch.linalg.det(u @ vh).sign()
    return u * signs @ vh, singular * signs


def _check_same(source: Tensor, target: Tensor, least: int, what: str):
    if len(source) != len(target) or len(source) < least:
        raise ValueError(
            f"alignment needs {least} or more {what} on both sides, in pairs; got {len(source)} and {len(target)}")


def align_points(source: Float[Tensor, "n 3"], target: Float[Tensor, "m 3"], with_scale: bool = True) -> Float[Tensor, "4 4"]:
    """Similarity that takes source points to their target partners with the least sum of *squared* distances.

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991, eqs. 40-43.

    Args:
        source, target: partners row by row, three or more that don't lie on one line.
        with_scale: False keeps the scale at 1 (a rigid motion).

    Raises:
        ValueError: if there are fewer than three pairs, or if the points of a set lie on one line.
    """
    _check_same(source, target, 3, "points")
    source_mean, target_mean = source.mean(0), target.mean(0)
    centered = source - source_mean
    covariance = (target - target_mean).T @ centered / len(source)
    rotation, singular = _nearest_rotation(covariance)
    if singular[1] <= 1e-6 * singular[0] or singular[0] == 0:
        raise ValueError("the points lie on one line (or coincide): their rotation is not determined")
    scale = singular.sum() / centered.pow(2).sum(-1).mean() if with_scale else torch.ones(()).to(source)
    matrix = torch.eye(4).to(rotation)
    matrix[:3, :3], matrix[:3, 3] = scale * rotation, target_mean - scale * rotation @ source_mean
    return matrix


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
