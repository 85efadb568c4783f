"""Fragments' boxes of voxels and their targets, also in a world that is turned and moved at random (NeuralRecon's training).

The volume of the whole scene is known at several resolutions, fine to coarse. In the turned world the scene's origin is 0; a
fragment's box lies around what its cameras see, at multiples of eight voxels, and its height above the floor is fixed.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.geometry.tsdf import DenseVolume, DepthFrame, frustum_bounds
from deep3dmap.geometry.voxels import voxel_grid

#: Multiple of voxels at which boxes begin.
STEP = 8
#: Height at which boxes begin, metres; below the floor, which is at 0.
FLOOR = -0.2
#: Depth up to which cameras see, metres.
MAX_DEPTH = 3.0
#: Truncation of targets in voxels, and views in which an occupied voxel is seen at least.
MARGIN, VIEWS = 3.0, 2


def random_space(turn: float, place: Float[Tensor, "3"], origin: Float[Tensor, "3"], extent: Float[Tensor, "3"],
                 padding: tuple[float, float] = (0.1, 0.025)) -> Float[Tensor, "4 4"]:  # yapf: disable
    """From the world to one that is turned about z and moved.

    Args:
        turn: share of a full turn.
        place: shares in [0, 1] of the range in which the new origin lies.
        origin: of the scene's volume, metres.
        extent: of the volume, metres.
        padding: by which the range is larger than the turned volume, horizontally and below it, metres.
    """
    angle = turn * 2 * math.pi
    rotation = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    low, high = origin.clone(), origin + extent
    corners = rotation @ torch.cartesian_prod(*torch.stack([low, high])[:, :2].T).T
    low[:2], high[:2] = corners.amin(1), corners.amax(1)
    xy, z = padding
    low, high = low - torch.tensor([xy, xy, z]), high - extent + torch.tensor([xy, xy, 0.0])
    matrix = torch.eye(4)
    matrix[:2, :2], matrix[:3, 3] = rotation, origin - (place * low + (1 - place) * high)
    return matrix


def fragment_origin(frames: Sequence[DepthFrame],
                    size: Sequence[int],
                    voxel_size: float,
                    scene_origin: Float[np.ndarray, "3"],
                    max_depth: float = MAX_DEPTH) -> Float[np.ndarray, "3"]:
    """Origin of the box of voxels around what a fragment's cameras see, metres.

    Args:
        frames: depth maps, or anything with ``depth`` of the picture's size, ``K`` and ``pose``.
        size: finest voxels of the box along x, y and z.
        voxel_size: of the finest voxels, metres.
        scene_origin: origin of the scene's volume, metres.
        max_depth: up to which the cameras see, metres.
    """
    first = frames[0]
    bounds = frustum_bounds(np.stack([f.K for f in frames]), np.stack([f.pose for f in frames]), first.depth.shape, max_depth)
    centre = (np.array([*bounds.mean(1)[:2], FLOOR]) - scene_origin) / voxel_size
    start = np.array([*np.round(centre[:2] / STEP), np.floor(centre[2] / STEP)]) * STEP
    start[:2] -= np.array(size[:2]) // 2
    return start * voxel_size + scene_origin


def occupied_voxels(frames: Sequence[DepthFrame], origin: Float[np.ndarray, "3"], size: Sequence[int],
                    voxel_size: float) -> Bool[Tensor, "x y z"]:  # yapf: disable
    """Which voxels of a box are near the surface that two or more of the fragment's own depth maps show.

    Args:
        frames: depth maps.
        origin: of the box, metres.
        size: its voxels along x, y and z.
        voxel_size: of the box, metres.
    """
    volume = DenseVolume(origin, origin + np.array(size) * voxel_size, voxel_size, MARGIN)
    for frame in frames:
        volume.integrate(frame)
    return torch.from_numpy((np.abs(volume.tsdf) < np.float32(0.999)) & (volume.weight >= VIEWS))


def sample_volume(volume: Float[Tensor, "i j k"], index: Float[Tensor, "x y z 3"]) -> Float[Tensor, "x y z"]:
    """Distances of a scene's volume at positions in it: interpolated near the surface, 1 beyond the volume.

    Args:
        volume: distances in truncations.
        index: positions in voxels of the volume. As in the published code they are scaled as if the outermost voxels' centres
            were the volume's ends, but read as if these were half a voxel further out.
    """
    last = torch.tensor(volume.shape).to(index) - 1
    grid = (2 * index / last - 1)[None].flip(-1)
    near, mixed = (functional.grid_sample(volume[None, None], grid, mode, align_corners=False)[0, 0]
                   for mode in ("nearest", "bilinear"))  # yapf: disable
    values = torch.where(near.abs() < 1, mixed, near)
    return torch.where((grid[0].abs() >= 1).any(-1), 1.0, values)


def fragment_targets(volumes: Sequence[Tensor], volume_origin: Float[Tensor, "3"],
                     to_volume: Float[Tensor, "4 4"], frames: Sequence[DepthFrame], origin: Float[Tensor, "3"],
                     size: Sequence[int], voxel_size: float) -> tuple[list[Tensor], list[Tensor]]:  # yapf: disable
    """Distances (x, y, z) and occupancies (x, y, z) of a fragment's voxels at each resolution, fine to coarse.

    Args:
        volumes: distances (i, j, k) of the scene in truncations at each resolution, fine to coarse.
        volume_origin: of the scene's volume in its own world, metres.
        to_volume: from the fragment's world to the volume's, the inverse of :func:`random_space`.
        frames: the fragment's depth maps, posed in its world.
        origin: of the fragment's box in its world, metres.
        size: finest voxels of the box along x, y and z.
        voxel_size: of the finest voxels, metres.
    """
    points = voxel_grid(size, 1)[:, 1:] * voxel_size + origin
    points = points @ to_volume[:3, :3].T + to_volume[:3, 3]
    index = ((points - volume_origin) / voxel_size).view(*size, 3)
    distances, occupied = [], []
    for level, volume in enumerate(volumes):
        step = 2**level
        box = tuple(side // step for side in size)
        distances.append(sample_volume(volume, index[::step, ::step, ::step] / step))
        occupied.append(occupied_voxels(frames, origin.numpy().astype(np.float64), box, voxel_size * step))
    return distances, occupied
