"""What is remembered on a walk through a large room: its surface, not its volume."""

import pytest
import torch
from torch import Tensor

from deep3dmap.frameworks.neuralrecon.gru_fusion import Fusion, GRUFusion, TSDFFusion

VOXEL_SIZE, BOX = 0.16, (24, 24, 16)
SIDE = 125  # voxels of a room of 20 x 20 x 2.5 m


def surface(start: tuple[int, int, int], step: int = 1) -> Tensor:
    """Voxels (n, 3) of a box on the room's floor and walls, counted from the box's start, at every ``step``-th position."""
    local = torch.cartesian_prod(*(torch.arange(0, side, step) for side in BOX))
    room = local + torch.tensor(start)
    inside = (room[:, :2] < SIDE).all(1)
    return local[inside & ((room < step).any(1) | (room[:, :2] >= SIDE - step).any(1))]


def walk(fusion: Fusion, see) -> None:
    """Fuse the boxes of a walk through the whole room, each of which overlaps those before by half."""
    starts = [(x, y, 0) for x in range(0, SIDE, 12) for y in range(0, SIDE, 12)]
    for number, start in enumerate(starts):
        inputs = dict(begins=[number == 0], scene_origin=torch.zeros(1, 3), aligned_camera=torch.eye(4)[None],
                      origin=VOXEL_SIZE * (torch.tensor([start]) + 1e-3))  # yapf: disable
        fusion.begin(inputs)
        see(start, inputs)


def rows(coords: Tensor) -> Tensor:
    """Of fragment 0."""
    return torch.nn.functional.pad(coords, (1, 0))


@torch.no_grad()
@pytest.mark.parametrize("level, step", [(1, 2), (2, 1)])
def test_features_of_a_room_of_20_metres_are_those_of_its_surface(level, step):
    fusion = GRUFusion((1, 1, 1), VOXEL_SIZE, BOX, "clean")

    def see(start, inputs) -> None:
        coords = surface(start, step)
        fusion(level, rows(coords), torch.ones(len(coords), 1), inputs)

    walk(fusion, see)
    side, height = -(-SIDE // step), BOX[2] // step
    assert len(fusion.scenes[0].memories[level].coords) == side**2 + (height - 1) * 4 * (side - 1)


def test_distances_of_a_room_of_20_metres_are_those_of_its_surface():
    fusion = TSDFFusion(VOXEL_SIZE, BOX)
    walk(fusion, lambda start, inputs: fusion(rows(surface(start)), torch.zeros(len(surface(start)), 1), inputs))
    coords, tsdf, _ = fusion.scene
    assert len(coords) == len(tsdf) == SIDE**2 + (BOX[2] - 1) * 4 * (SIDE - 1)
