"""Voxels of volumes of several resolutions, all counted in voxels of the finest one (NeuralRecon, Sun et al., CVPR 2021).

Rows are (scene, x, y, z), where ``scene`` is the position in the batch. Coordinates of voxels of a level with interval i are
multiples of i. Voxel (0, 0, 0) has its centre at the volume's origin.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: Which of x, y and z are increased for the eight voxels that a coarser one divides into, in the reference's order.
CORNERS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))


def voxel_grid(size: Sequence[int], interval: int, scenes: int = 1, device: torch.device | None = None) -> Int[Tensor, "n 4"]:
    """All voxels of volumes, z fastest.

    Args:
        size: finest voxels along x, y and z.
        interval: between neighbours.
        scenes: number of volumes.
        device: of the result.
    """
    axes = [torch.arange(0, side, interval, device=device) for side in size]
    return torch.cartesian_prod(torch.arange(scenes, device=device), *axes)


def subdivide(coords: Int[Tensor, "n 4"], interval: int) -> Int[Tensor, "m 4"]:
    """The eight voxels of the next level in each voxel, one after another.

    Args:
        coords: voxels of a level.
        interval: of the next level.
    """
    corners = torch.tensor([(0, *corner) for corner in CORNERS], device=coords.device)
    return (coords[:, None] + interval * corners).flatten(0, 1)


def world_points(coords: Int[Tensor, "n 4"], origins: Float[Tensor, "b 3"], voxel_size: float) -> Float[Tensor, "n 3"]:
    """Centres of voxels in the world, metres.

    Args:
        coords: voxels.
        origins: of the scenes' volumes, metres.
        voxel_size: of the finest voxels, metres.
    """
    return coords[:, 1:] * voxel_size + origins[coords[:, 0]]


def camera_points(coords: Int[Tensor, "n 4"], origins: Float[Tensor, "b 3"], voxel_size: float,
                  world_to_camera: Float[Tensor, "b 4 4"]) -> Float[Tensor, "n 4"]:  # yapf: disable
    """Centres of voxels in their scene's camera, metres, and the scene: rows (x, y, z, scene)."""
    points = world_points(coords, origins, voxel_size)
    moved = torch.cat([points, coords[:, :1].to(points)], 1)
    with torch.autocast(points.device.type, enabled=False):  # positions need more digits than bfloat16 has
        for scene, matrix in enumerate(world_to_camera):
            own = coords[:, 0] == scene
            moved[own, :3] = points[own] @ matrix[:3, :3].T + matrix[:3, 3]
    return moved
