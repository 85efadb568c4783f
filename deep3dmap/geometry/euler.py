"""Euler and Tait-Bryan angles about any three axes, batched and differentiable.

Angles are intrinsic: ``XYZ`` rotates about x, then about the rotated y, then about the twice rotated z, so
``R = R_x(a) R_y(b) R_z(c)``. Back from matrices by quaternions (Bernardes and Viollet 2022, "Quaternion to Euler angles
conversion: A direct, general and computationally efficient method", PLoS ONE 17).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.rotations import rotation_to_quaternion, rotation_vector_to_rotation

#: Half the distance (radians) of the middle angle from a gimbal lock, within which the last angle is set to 0.
LOCK = 1e-6


def _indices(axes: str) -> tuple[int, int, int]:
    if len(axes) != 3 or set(axes) - set("XYZ") or axes[1] in (axes[0], axes[2]):
        raise ValueError(f"axes: three of X, Y and Z are needed, neighbours different, got '{axes}'")
    return tuple("XYZ".index(axis) for axis in axes)


def euler_to_rotation(angles: Float[Tensor, "*batch 3"], axes: str) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of intrinsic angles.

    Args:
        angles: radians, in the order of the axes.
        axes: three of X, Y and Z, such as ``XYZ`` or ``ZXZ``; neighbours differ.

    Raises:
        ValueError: for other axes.
    """
    unit = torch.eye(3).to(angles)
    turns = [rotation_vector_to_rotation(angles[..., k:k + 1] * unit[axis]) for k, axis in enumerate(_indices(axes))]
    return turns[0] @ turns[1] @ turns[2]


def rotation_to_euler(rotation: Float[Tensor, "*batch 3 3"], axes: str) -> Float[Tensor, "*batch 3"]:
    """Intrinsic angles of rotation matrices: the inverse of ``euler_to_rotation``.

    Returns:
        Radians. The middle angle is from -pi/2 to pi/2 if all axes differ, and from 0 to pi if the first is the last. At a
        gimbal lock (the middle angle at an end of its range), where only a sum of the others is determined, the last is 0.

    Raises:
        ValueError: for axes other than ``euler_to_rotation`` takes.
    """
    i, j, k = _indices(axes)[::-1]  # the paper's angles are extrinsic: the same rotations in reverse order
    distinct, k = i != k, 3 - i - j
    sign = (i - j) * (j - k) * (k - i) // 2  # 1 for an even order of axes, -1 for an odd one
    q = rotation_to_quaternion(rotation)
    a, b, c, d = q[..., 0], q[..., i + 1], q[..., j + 1], sign * q[..., k + 1]
    if distinct:
        a, b, c, d = a - c, b + d, c + a, d - b
    cosine, sine = (torch.stack(pair, -1).norm(dim=-1) for pair in ((a, b), (c, d)))
    middle = 2 * torch.atan2(sine, cosine)
    plus, minus = _angle(b, a, cosine < LOCK), _angle(d, c, sine < LOCK)
    plus, minus = torch.where(cosine < LOCK, minus, plus), torch.where(sine < LOCK, plus, minus)
    last, first = plus - minus, plus + minus
    if distinct:
        middle, first = middle - math.pi / 2, sign * first
    return torch.stack([_wrapped(first), middle, _wrapped(last)], -1)


def _angle(sine: Tensor, cosine: Tensor, locked: Tensor) -> Tensor:
    """``atan2`` whose gradient is finite where there is no angle."""
    return torch.atan2(torch.where(locked, 0.0, sine), torch.where(locked, 1.0, cosine))


def _wrapped(angle: Tensor) -> Tensor:
    """The angle between -pi and pi."""
    return torch.where(angle > math.pi, angle - 2 * math.pi, torch.where(angle < -math.pi, angle + 2 * math.pi, angle))
