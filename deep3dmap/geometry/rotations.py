"""Rotations as matrices, quaternions (w, x, y, z), rotation vectors and their first two rows; batched and differentiable.

A matrix R, a quaternion q and a rotation vector v (axis times angle in radians) represent the same rotation
``x -> R x = q x q* = exp([v]_x) x``; ``q`` and ``-q`` are the same rotation. Euler angles are in ``euler``. Functions that
turn numbers into rotations are smooth everywhere, angle 0 included; a rotation vector of a matrix jumps at half turns only,
where its sign is free. Rotations that aren't numbers (NaN) give results that aren't numbers.
"""

import math

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


def _longest_row(rotation: Float[Tensor, "*batch 3 3"]) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch 1"]]:
    """The longest row of ``4 q q^T``, a multiple of the quaternion, and its entry on the diagonal (1 or more)."""
    outer = _outer_product_of_quaternion(rotation)
    longest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = longest[..., None, None].expand(*longest.shape, 1, 4)
    row = outer.gather(-2, index)[..., 0, :]
    return row, row.gather(-1, longest[..., None])


def rotation_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions (w, x, y, z) with ``w >= 0`` of rotation matrices.

    Each row of ``q q^T`` is a multiple of q; the longest one is taken, so half turns (w = 0) keep full accuracy and
    finite gradients, where dividing by w would not.
    """
    return standardize_quaternion(torch.nn.functional.normalize(_longest_row(rotation)[0], dim=-1))


def standardize_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The one of ``q`` and ``-q`` with ``w >= 0``."""
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def multiply_quaternions(first: Float[Tensor, "*batch 4"], second: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Hamilton's product, of either sign: the rotation by ``second`` followed by that by ``first``."""
    (a, u), (b, v) = ((q[..., :1], q[..., 1:]) for q in (first, second))
    vector = a * v + b * u + torch.linalg.cross(u, v)
    return torch.cat([a * b - (u * v).sum(-1, keepdim=True), vector], -1)


def invert_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The conjugates, which are the inverses of unit quaternions."""
    return quaternion * torch.tensor([1.0, -1.0, -1.0, -1.0]).to(quaternion)


def rotate_by_quaternion(quaternion: Float[Tensor, "*batch 4"], x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """``q x q*``: points x turned by unit quaternions."""
    w, v = quaternion[..., :1], quaternion[..., 1:]
    turned = w * x + torch.linalg.cross(v, x)
    return (v * x).sum(-1, keepdim=True) * v + w * turned + torch.linalg.cross(v, turned)


def cross_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The skew-symmetric matrices of cross products: ``cross_matrix(v) @ x = v x x``."""
    x, y, z = vector.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(*vector.shape[:-1], 3, 3)


def rotation_vector_to_rotation(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of rotation vectors: the exponential map of SO(3), by Rodrigues' formula.

    ``R = I + sin(a)/a [v]_x + (1 - cos a)/a^2 [v]_x^2`` with the angle a = |v|; both factors by sinc, so they are exact at 0.
    """
    angle = vector.norm(dim=-1)[..., None, None]
    cross = cross_matrix(vector)
    first, second = torch.sinc(angle / math.pi), 0.5 * torch.sinc(angle / (2 * math.pi))**2
    return torch.eye(3).to(vector) + first * cross + second * cross @ cross


def rotation_to_rotation_vector(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors, angles from 0 to pi, of rotation matrices: the logarithm of SO(3).

    By way of quaternions, so angles near 0 and near pi keep full accuracy and finite gradients. Gradients with respect to
    the nine entries are right for all changes that leave the matrix a rotation.
    """
    row, own = _longest_row(rotation)
    return quaternion_to_rotation_vector(standardize_quaternion(row / (2 * own.sqrt())))


def rotation_vector_to_quaternion(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions of rotation vectors; ``w < 0`` for angles between pi and 3 pi."""
    half = vector.norm(dim=-1, keepdim=True) / 2
    return torch.cat([half.cos(), 0.5 * torch.sinc(half / math.pi) * vector], -1)


def quaternion_to_rotation_vector(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Rotation vectors of unit quaternions, with angles from 0 to 2 pi: above pi where ``w < 0``."""
    vector = quaternion[..., 1:]
    half = torch.atan2(vector.norm(dim=-1, keepdim=True), quaternion[..., :1])
    return 2 * vector / torch.sinc(half / math.pi)


def rotation_from_6d(rows: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices whose two first rows are nearest to given ones in the order of Gram and Schmidt.

    A continuous parametrisation for networks (Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural
    Networks", eq. 6; there columns). The rows may have any lengths, but must not be parallel.
    """
    first = torch.nn.functional.normalize(rows[..., :3], dim=-1)
    across = rows[..., 3:] - (first * rows[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(across, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


def rotation_to_6d(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The two first rows of rotation matrices; the inverse of ``rotation_from_6d``."""
    return rotation[..., :2, :].flatten(-2)


def rotation_angle_error(first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Angle in degrees, 0 to 180, of the rotation that takes ``first`` to ``second``.

    Computed from both sine and cosine, so that small angles keep full precision (the cosine alone loses half the digits).
    """
    relative = first @ second.transpose(-1, -2)
    skew = relative - relative.transpose(-1, -2)
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1).norm(dim=-1) / 2
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(torch.atan2(sine, cosine))
