"""Cameras from points in the world and the pixels that show them (perspective from n points).

The start is Terzakis and Lourakis, "A consistently fast and globally optimal solution to the perspective-n-point problem",
ECCV 2020 (OpenCV's SQPNP; good for points in one plane too). The Gauss-Newton method then minimises the squared distances in
the image. A final Newton step provides the gradient: at a minimum it is that of the minimum itself (implicit function
theorem).
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.rotations import cross_matrix
from deep3dmap.geometry.transforms import transform_points, twist_to_motion

#: Maximum numbers of refinement steps, and of halvings of a step that does not decrease the error.
STEPS, HALVINGS = 50, 10

#: Singular values below this fraction of the largest are treated as 0.
FLAT = 1e-6


def camera_from_points(points: Float[Tensor, "n 3"], uv: Float[Tensor, "m 2"],
                       K: Float[Tensor, "3 3"]) -> tuple[Float[Tensor, "3 4"], Float[Tensor, ""]]:
    """The pose of a camera of known K that sees given points at given pixels, with the least squared distances in the image.

    Args:
        points: in the world; four or more that are not collinear. Four in general position can leave a second pose that
            fits nearly as well.
        uv: pixel coordinates of each.
        K: pinhole matrix, skew included.

    Returns:
        world_to_cam; and the mean distance between the pixels and the projected points. Both differentiable, with respect
        to all arguments (once).

    Raises:
        ValueError: for fewer than four points, not a pixel for each point, values that are not finite, points on one line, or
            if there is no pose with all points in front of the camera.
    """
    _check(points, uv, K)
    given = points.double(), uv.double(), K.double()
    fixed = tuple(value.detach() for value in given)
    start = torch.from_numpy(_start(*(value.cpu().numpy() for value in fixed)))
    pose = _newton_step(_refined(start.to(points.device), *fixed), *given)
    error = _residuals(torch.zeros(6).to(pose), pose, *given).norm(dim=-1).mean()
    return pose[:3].to(points), error.to(points)


def _check(points: Tensor, uv: Tensor, K: Tensor):
    if len(points) < 4 or len(uv) != len(points):
        raise ValueError(f"points, uv: four points or more and a pixel for each are needed, got {len(points)} and {len(uv)}")
    for name, value in (("points", points), ("uv", uv), ("K", K)):
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: must be finite, some values are not")
    spread = torch.linalg.svdvals((points - points.mean(0)).detach().double())
    if spread[1] <= FLAT * spread[0]:
        raise ValueError("points: they are collinear or coincide, so the camera's pose is not determined")


def _start(points: np.ndarray, uv: np.ndarray, K: np.ndarray) -> Float[np.ndarray, "4 4"]:
    """The pose in double precision, to about its last digits."""
    normalized = np.linalg.solve(K, np.concatenate([uv, np.ones_like(uv[:, :1])], -1).T).T[:, None, :2]
    found, vector, translation = cv2.solvePnP(points, normalized, np.eye(3), None, flags=cv2.SOLVEPNP_SQPNP)
    pose = np.eye(4)
    if found:
        pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(vector)[0], translation[:, 0]
    if not found or not (points @ pose[2, :3] + pose[2, 3] > 0).all():
        raise ValueError("points, uv: no camera pose has all points in front of it; points and uv must correspond one to one")
    return pose


def _residuals(step: Float[Tensor, "6"], pose: Float[Tensor, "4 4"], points: Float[Tensor, "n 3"], uv: Float[Tensor, "n 2"],
               K: Float[Tensor, "3 3"]) -> Float[Tensor, "n 2"]:
    """Distances in the image after a small motion of the points in the camera's frame, exact to second order in the motion."""
    x, turn = transform_points(pose, points), cross_matrix(step[3:])
    seen = (x + x @ turn.T + x @ turn.T @ turn.T / 2 + step[:3]) @ K.T
    return seen[:, :2] / seen[:, 2:] - uv


def _refined(pose: Float[Tensor, "4 4"], *given: Tensor) -> Float[Tensor, "4 4"]:
    """Gauss-Newton steps, each halved until the error decreases, until none decreases it."""
    zero = torch.zeros(6).to(pose)
    residuals = _residuals(zero, pose, *given)
    for _ in range(STEPS):
        step = -torch.linalg.lstsq(_slopes(pose, *given), residuals.reshape(-1, 1)).solution[:, 0]
        for k in range(HALVINGS):
            moved = twist_to_motion(step / 2**k) @ pose
            nearer = _residuals(zero, moved, *given)
            if nearer.norm() < residuals.norm():
                break
        else:
            return pose
        pose, residuals = moved, nearer
    return pose


def _slopes(pose: Float[Tensor, "4 4"], points: Float[Tensor, "n 3"], uv: Float[Tensor, "n 2"],
            K: Float[Tensor, "3 3"]) -> Float[Tensor, "r 6"]:
    """Derivatives of the residuals with respect to the motion, two rows a point."""
    x = transform_points(pose, points)
    seen = x @ K.T
    by_place = (K[:2] - (seen[:, :2] / seen[:, 2:])[..., None] * K[2]) / seen[:, 2:, None]
    return torch.cat([by_place, -by_place @ cross_matrix(x)], -1).reshape(-1, 6)


def _newton_step(pose: Float[Tensor, "4 4"], *given: Tensor) -> Float[Tensor, "4 4"]:
    """A step that is about zero, but whose gradient with respect to points, pixels and K is that of the minimum."""
    with torch.enable_grad():
        zero = torch.zeros(6).to(pose).requires_grad_()
        half_squares = _residuals(zero, pose, *given).square().sum() / 2
        slope = torch.autograd.grad(half_squares, zero, create_graph=True)[0]
        curvature = torch.stack([torch.autograd.grad(slope[k], zero, retain_graph=True)[0] for k in range(6)])
    return twist_to_motion(-torch.linalg.solve(curvature, slope)) @ pose
