"""Rotations as matrices and as quaternions (w, x, y, z), batched and differentiable.

A matrix R and a quaternion q stand for the same rotation ``x -> R x = q x q*``; ``q`` and ``-q`` are the same rotation.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def quaternion_to_rotation(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions (w, x, y, z).

    Quaternions are normalised first, so that a network or an optimiser may move them freely; the gradient along a
    quaternion is 0. A quaternion of zeros gives the identity.
    """
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
        2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
        2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)
    ]  # yapf: disable
    return torch.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def _outer_product_of_quaternion(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4 4"]:
    """``4 q q^T`` of each rotation's unit quaternion: linear in the matrix, so no sign and no root is needed."""
    xx, yy, zz = R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]
    wx, wy, wz = R[..., 2, 1] - R[..., 1, 2], R[..., 0, 2] - R[..., 2, 0], R[..., 1, 0] - R[..., 0, 1]
    xy, xz, yz = R[..., 1, 0] + R[..., 0, 1], R[..., 0, 2] + R[..., 2, 0], R[..., 2, 1] + R[..., 1, 2]
    rows = [
        1 + xx + yy + zz, wx, wy, wz,
        wx, 1 + xx - yy - zz, xy, xz,
        wy, xy, 1 - xx + yy - zz, yz,
        wz, xz, yz, 1 - xx - yy + zz
    ]  # yapf: disable
    return torch.stack(rows, -1).reshape(*R.shape[:-2], 4, 4)


def rotation_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions (w, x, y, z) with ``w >= 0`` of rotation matrices.

    Each row of ``q q^T`` is a multiple of q; the longest one is taken, so half turns (w = 0) keep full accuracy and
    finite gradients, where dividing by w would not.
    """
    outer = _outer_product_of_quaternion(rotation)
    longest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = longest[..., None, None].expand(*longest.shape, 1, 4)
    quaternion = torch.nn.functional.normalize(outer.gather(-2, index)[..., 0, :], dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def rotation_angle_error(first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Angle in degrees, 0 to 180, of the rotation that takes ``first`` to ``second``.

    Computed from both sine and cosine, so that small angles keep full precision (the cosine alone loses half the digits).
    """
    relative = first @ second.transpose(-1, -2)
    skew = relative - relative.transpose(-1, -2)
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1).norm(dim=-1) / 2
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(torch.atan2(sine, cosine))
