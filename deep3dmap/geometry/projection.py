"""Projection matrices and their parts (Hartley & Zisserman, Multiple View Geometry, 6.2), and depth.

OpenCV axes: x right, y down, z forward; ``depth`` is z in the camera's frame.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def by_depth(points: Float[Tensor, "*p 3"]) -> Float[Tensor, "*p 2"]:
    """x and y of points divided by z; infinite where z is 0, with a gradient of 0 there.

    Args:
        points: in a camera's frame, multiplied by its K.
    """
    z = points[..., 2:]
    known = z != 0
    return torch.where(known, points[..., :2] / torch.where(known, z, 1.0), torch.inf)


def decompose_projection(P: Float[Tensor, "3 4"],
                         reference_sign: bool = False) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3 4"]]:
    """Pinhole matrix and rigid transform of a projection matrix of any scale: ``P ~ K [R | t]``.

    A projection matrix means the same camera after division by any number, negative ones included. By default a negative
    scale is removed, so focal lengths are positive and the rotation is the camera's. The IDR code keeps the sign: it then
    reports negative focal lengths and a camera turned by 180 degrees about its own axis. Pixels, depths and rays agree
    in both readings; rotations (camera accuracy, saved quaternions) don't, hence the option for parity.

    Args:
        P: projection matrix; computed in float64 inside, returned in its own type.
        reference_sign: the sign of IDR's ``load_K_Rt_from_P`` where P has a negative scale.

    Returns:
        K, upper triangular with ``K[2, 2] = 1``; and ``world_to_cam`` = [R | t] with a proper rotation.

    Raises:
        ValueError: if the left 3x3 block is singular (a camera at infinity has no pinhole matrix) or not finite.
    """
    matrix = P.double()
    left = matrix[:, :3]
    if not (torch.isfinite(matrix).all() and torch.linalg.matrix_rank(left) == 3):
        raise ValueError(f"not the projection matrix of a pinhole camera: its left 3x3 block must be invertible\n{P}")
    negative = torch.linalg.det(left) < 0
    q, r = torch.linalg.qr((-left if negative else left).flip(0).T)  # of the rows in reverse
    signs = torch.where(r.diagonal() < 0, -1.0, 1.0).to(matrix)
    upper, rotation = (r.T * signs).flip(0).flip(1), (q * signs).T.flip(0)
    K = upper / upper[2, 2]
    if negative and reference_sign:
        turn = torch.tensor([-1.0, -1.0, 1.0]).to(matrix)
        K, rotation = K * turn, turn[:, None] * rotation
    translation = rotation @ torch.linalg.solve(left, matrix[:, 3])
    return K.to(P), torch.cat([rotation, translation[:, None]], -1).to(P)


def lift(uv: Float[Tensor, "*batch p 2"], depth: Float[Tensor, "*batch p"],
         K: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch p 3"]:
    """Points in the camera's frame at given pixels and depths (z): the inverse of a pinhole projection, skew included.

    Args:
        uv: pixel coordinates in the convention of K's principal point.
        depth: z of each point.
        K: pinhole matrices with ``K[2, 2] = 1``.
    """
    K = K[..., None, :, :]
    y = (uv[..., 1] - K[..., 1, 2]) / K[..., 1, 1]
    x = (uv[..., 0] - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
    return torch.stack([x * depth, y * depth, depth], -1)


def camera_depth(points: Float[Tensor, "*batch p 3"], world_to_cam: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch p"]:
    """Depth (z in the camera's frame, negative behind it) of world points seen by each camera."""
    axis = world_to_cam[..., 2, :]
    return (points @ axis[..., :3, None])[..., 0] + axis[..., 3:]
