"""Affine maps and rigid motions as (4, 4) matrices of column vectors, ``x' = matrix[:3, :3] x + matrix[:3, 3]``; batched.

A map followed by another is the product ``second @ first``, and its inverse ``torch.linalg.inv``. Rigid motions have six
coordinates, the exponential map of SE(3) (Murray, Li and Sastry 1994, "A Mathematical Introduction to Robotic Manipulation",
2.3): smooth everywhere, so optimisers may move them freely.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.rotations import cross_matrix, rotation_to_rotation_vector, rotation_vector_to_rotation

#: Squared angle below which the factors of a motion's translation come from their series.
SMALL = 0.25


def affine(linear: Float[Tensor, "*batch 3 3"], translation: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4 4"]:
    """The (4, 4) matrices of ``x -> linear x + translation``."""
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).to(linear)
    rows = torch.cat([linear, translation[..., None]], -1)
    return torch.cat([rows, last.expand(*rows.shape[:-2], 1, 4)], -2)


def transform_points(matrix: Float[Tensor, "*batch 4 4"], points: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:
    """The points after an affine map."""
    return points @ matrix[..., :3, :3].transpose(-1, -2) + matrix[..., None, :3, 3]


def transform_normals(matrix: Float[Tensor, "*batch 4 4"],
                      normals: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:  # yapf: disable
    """Normals of a surface after an affine map of the surface: by the inverse transpose, so they stay perpendicular to it.

    Their lengths change with the scale.

    Raises:
        ValueError: if a map has no inverse, or isn't finite.
    """
    linear = matrix[..., :3, :3]
    inverse, failed = torch.linalg.inv_ex(linear)
    if failed.any() or not torch.isfinite(inverse).all():
        raise ValueError(f"matrix: a map without inverse leaves no normals\n{matrix}")
    return normals @ inverse


def twist_to_motion(twist: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 4 4"]:
    """Rigid motions of their coordinates: the exponential map of SE(3).

    Args:
        twist: velocity (3) and rotation vector (3): the motion of a body that moves for one unit of time with this
            velocity (of the point at the origin) and angular velocity, both constant.
    """
    vector = twist[..., 3:]
    translation = (_translation_matrix(vector) @ twist[..., :3, None])[..., 0]
    return affine(rotation_vector_to_rotation(vector), translation)


def motion_to_twist(motion: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 6"]:
    """Coordinates of rigid motions, with angles from 0 to pi: the inverse of ``twist_to_motion``."""
    vector = rotation_to_rotation_vector(motion[..., :3, :3])
    velocity = torch.linalg.solve(_translation_matrix(vector), motion[..., :3, 3])
    return torch.cat([velocity, vector], -1)


def _translation_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """V with ``translation = V velocity``: ``I + (1 - cos a)/a^2 [v]_x + (a - sin a)/a^3 [v]_x^2`` with the angle a = |v|."""
    square = vector.square().sum(-1)[..., None, None]
    small = square < SMALL
    angle = torch.where(small, 1.0, square).sqrt()
    series = square.clamp(max=SMALL)
    first = torch.where(small, _series(series, 2), (1 - angle.cos()) / angle**2)
    second = torch.where(small, _series(series, 3), (angle - angle.sin()) / angle**3)
    cross = cross_matrix(vector)
    return torch.eye(3).to(vector) + first * cross + second * cross @ cross


def _series(square: Tensor, start: int) -> Tensor:
    """``1/start! - a^2/(start + 2)! + ...`` for squared angles a^2 up to SMALL, by Horner's rule, to the last digit."""
    total = torch.ones_like(square)
    for k in range(12, 0, -2):
        total = 1 - square * total / ((start + k) * (start + k - 1))
    return total / (2 if start == 2 else 6)
