"""Cameras placed by what they look at: on spheres, on orbits, along smooth paths. OpenCV axes (x right, y down, z forward)."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline
from torch import Tensor

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
ORIGIN, Z_UP = (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def _unit(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _perpendicular(direction: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """A unit vector perpendicular to each direction; deterministic."""
    helper = torch.eye(3).to(direction)[direction.abs().argmin(-1)]
    return _unit(torch.linalg.cross(direction, helper))


def look_at(centers: Float[Tensor, "n 3"],
            target: Float[Tensor, "3"] | Float[Tensor, "n 3"] | Sequence[float] = ORIGIN,
            up: Float[Tensor, "3"] | Float[Tensor, "n 3"] | Sequence[float] = Z_UP) -> Float[Tensor, "n 3 4"]:
    """Cameras at given centres that look at a point, with the world's ``up`` upwards in their images.

    A camera that looks along ``up`` itself has no upright image: it gets some fixed roll.

    Args:
        centers: camera centres, world units.
        target: point that lies on every optical axis, or one for each camera.
        up: direction in the world, of any length, or one for each camera.

    Returns:
        world_to_cam; differentiable.

    Raises:
        ValueError: if a centre is the target, if ``up`` is zero, or if one of them is not finite.
    """
    target, up = (torch.as_tensor(v, dtype=centers.dtype, device=centers.device) for v in (target, up))
    if (up.norm(dim=-1) == 0).any():
        raise ValueError("the up direction must not be zero")
    for name, value in (("centers", centers), ("target", target), ("up", up)):
        if not torch.isfinite(value).all():
            raise ValueError(f"{name}: cameras can't be placed by what is not finite")
    if ((centers - target).norm(dim=-1) == 0).any():
        raise ValueError("a camera is at the point that it should look at")
    forward = _unit(target - centers)
    right = torch.linalg.cross(forward, _unit(up).expand_as(forward))
    right = torch.where(right.norm(dim=-1, keepdim=True) > 1e-6, _unit(right), _perpendicular(forward))
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], 1)
    return torch.cat([rotation, -rotation @ centers[:, :, None]], -1)


def _around(azimuth: Tensor, height: Tensor, radius: float, target, up) -> Float[Tensor, "n 3 4"]:
    """Cameras on a sphere: azimuth in radians about ``up``, height (sine of the elevation) along it."""
    axis = _unit(torch.as_tensor(up, dtype=torch.get_default_dtype()))
    if radius <= 0 or axis.norm() == 0:
        raise ValueError(f"cameras need a positive distance and an up direction that isn't zero, got {radius} and {up}")
    first = torch.tensor([1.0, 0.0, 0.0]) if axis[2].abs() > 0.999 else _perpendicular(axis[None])[0]
    second = torch.linalg.cross(axis, first)
    ring = (1 - height**2).clamp(min=0).sqrt()
    directions = (ring * azimuth.cos())[:, None] * first + (ring * azimuth.sin())[:, None] * second + height[:, None] * axis
    target = torch.as_tensor(target, dtype=axis.dtype)
    return look_at(target + radius * directions, target, axis)


def on_sphere(distance: Float[Tensor, "n"], elevation: Float[Tensor, "n"],
              azimuth: Float[Tensor, "n"]) -> Float[Tensor, "n 3"]:  # yapf: disable
    """Points around the origin of a world whose y axis is up: the camera centres of graphics' usual three numbers.

    Args:
        distance: from the origin, world units.
        elevation: above the plane of x and z, degrees.
        azimuth: in that plane, from z towards x, degrees.
    """
    elevation, azimuth = torch.deg2rad(elevation), torch.deg2rad(azimuth)
    directions = [elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos()]
    return distance[:, None] * torch.stack(directions, -1)


def sphere_of_cameras(n: int,
                      radius: float,
                      elevations: tuple[float, float] = (-90.0, 90.0),
                      target: Sequence[float] = ORIGIN,
                      up: Sequence[float] = Z_UP) -> Float[Tensor, "n 3 4"]:
    """Cameras spread evenly over a sphere, looking at its centre: a deterministic Fibonacci lattice.

    Args:
        n: number of cameras.
        radius: distance from the target, world units.
        elevations: lowest and highest elevation above the target's horizon, degrees; a band is filled evenly.
        target: centre of the sphere.
        up: the world's up direction.

    Returns:
        world_to_cam.

    Raises:
        ValueError: if ``n`` < 1, the radius isn't positive, the elevations aren't ascending inside [-90, 90] or up is zero.
    """
    low, high = elevations
    if n < 1 or not -90 <= low <= high <= 90:
        raise ValueError(f"need one camera or more and ascending elevations inside [-90, 90], got {n} and {elevations}")
    low, high = math.sin(math.radians(low)), math.sin(math.radians(high))
    index = torch.arange(n)
    return _around(index * GOLDEN_ANGLE, low + (high - low) * (index + 0.5) / n, radius, target, up)


def orbit(n: int,
          radius: float,
          elevation: float = 0.0,
          target: Sequence[float] = ORIGIN,
          up: Sequence[float] = Z_UP) -> Float[Tensor, "n 3 4"]:
    """Cameras on a circle around the target at one elevation (degrees), one full turn: for turntables.

    The last camera is one step before the first, so the film loops. Arguments and errors as in ``sphere_of_cameras``.
    """
    if n < 1 or not -90 <= elevation <= 90:
        raise ValueError(f"need one camera or more and an elevation inside [-90, 90], got {n} and {elevation}")
    azimuth = torch.arange(n) * (2 * math.pi / n)
    return _around(azimuth, torch.full((n, ), math.sin(math.radians(elevation))), radius, target, up)


def camera_path(world_to_cam: Float[Tensor, "keys 3 4"], n: int, closed: bool = False) -> Float[Tensor, "n 3 4"]:
    """A smooth camera path through given cameras: cubic spline of the centres, spline of rotations (scipy's RotationSpline).

    Args:
        world_to_cam: key cameras, in order; two or more.
        n: number of frames, evenly spaced in time (equal time between neighbouring keys). An open path's first and last frame
            are the first and last key; a closed one returns towards the first key and stops one frame before it.
        closed: continue from the last key to the first, smoothly.

    Raises:
        ValueError: if there are fewer than two keys, or no frames.
    """
    keys = len(world_to_cam)
    if keys < 2 or n < 1:
        raise ValueError(f"a path needs two cameras or more and one frame or more, got {keys} and {n}")
    poses = world_to_cam.detach().cpu().double().numpy()
    margin = 3 if closed else 0
    around = np.arange(-margin, keys + (margin + 1 if closed else 0))
    rotations = poses[around % keys, :, :3].transpose(0, 2, 1)
    centers = -(rotations @ poses[around % keys, :, 3:])[..., 0]
    time = np.arange(n) * (keys / n) if closed else np.linspace(0, keys - 1, n)
    to_camera = RotationSpline(around, Rotation.from_matrix(rotations))(time).as_matrix().transpose(0, 2, 1)
    translation = -to_camera @ CubicSpline(around, centers)(time)[..., None]
    return torch.from_numpy(np.concatenate([to_camera, translation], -1)).to(world_to_cam)


def short_tour(centers: Float[Tensor, "n 3"], closed: bool = False) -> list[int]:
    """An order in which cameras are near their neighbours: nearest neighbour first, then segments reversed while the path
    gets shorter (2-opt; Croes, "A method for solving traveling-salesman problems", 1958).

    Args:
        centers: of the cameras; the tour begins with the first.
        closed: whether the way back to the first camera counts.
    """
    distance = torch.cdist(centers.double(), centers.double()).tolist()
    slack = 1e-6 * max(map(max, distance))  # ties go to the first path, on every processor
    order, left = [0], list(range(1, len(centers)))
    while left:
        ways = [distance[order[-1]][k] for k in left]
        order.append(left.pop(next(i for i, way in enumerate(ways) if way <= min(ways) + slack)))
    while _shortened(order, distance, slack, closed):
        pass
    return order


def _shortened(order: list[int], distance: list[list[float]], slack: float, closed: bool) -> bool:
    """Reverse segments of a tour in place where that shortens it; whether any was reversed."""
    found = False
    for i, j in combinations(range(1, len(order)), 2):
        before, first, last = order[i - 1], order[i], order[j]
        old, new = distance[before][first], distance[before][last]
        if closed or j + 1 < len(order):
            after = order[(j + 1) % len(order)]
            old, new = old + distance[last][after], new + distance[first][after]
        if new < old - slack:
            order[i:j + 1], found = order[i:j + 1][::-1], True
    return found
