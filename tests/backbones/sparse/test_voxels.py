"""Sets of voxels and what a convolution connects, against plain loops over coordinates."""

import numpy as np
import pytest
import torch

from deep3dmap.backbones.sparse import VoxelSet
from deep3dmap.backbones.sparse.voxels import kernel_order
from deep3dmap.errors import DataError
from tests.backbones.sparse.grids import random_coords
from tests.goldens import read, tensor


def connections(voxels: VoxelSet, kernel: int, fine: int, coarse: int) -> set:
    """(index of the offset, input's coordinates, output's coordinates) of all connections of a map."""
    inputs, outputs = voxels.coords(fine), voxels.coords(coarse)
    pairs = voxels.kernel_map(kernel, fine, coarse).pairs
    return {(k, tuple(a), tuple(b)) for k, (i, o) in enumerate(pairs)
            for a, b in zip(inputs[i].tolist(), outputs[o].tolist())}  # yapf: disable


def test_the_voxels_are_the_different_coordinates_by_scene_then_x_y_z():
    coords = random_coords(6, 0.5).repeat(2, 1)
    expected = np.unique(coords[:, [3, 0, 1, 2]].numpy(), axis=0)[:, [1, 2, 3, 0]]
    voxels = VoxelSet(coords)
    assert (voxels.coords().numpy() == expected).all()
    assert (voxels.coords()[voxels.rows] == coords).all()


def test_the_order_of_the_given_voxels_does_not_matter():
    coords = random_coords(6, 0.3)
    assert (VoxelSet(coords).coords() == VoxelSet(coords.flip(0)).coords()).all()


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_coarser_voxels_hold_the_finer_ones_also_where_coordinates_are_negative(stride):
    coords = random_coords(9, 0.05, low=-5).numpy()
    expected = {(*(np.floor(row[:3] / stride) * stride).astype(int).tolist(), int(row[3])) for row in coords}
    voxels = VoxelSet(torch.from_numpy(coords))
    voxels.level(2)  # known before: the coarser ones of 4 come from these
    assert {tuple(row) for row in voxels.coords(stride).tolist()} == expected
    assert len(voxels.coords(stride)) == len(expected)


@pytest.mark.parametrize("kernel, fine, coarse", [(3, 1, 1), (5, 1, 1), (3, 2, 2), (2, 1, 2), (2, 2, 4), (3, 1, 2), (3, 1, 3)])
@pytest.mark.parametrize("share", [0.05, 0.8])
def test_a_map_connects_each_voxel_with_those_at_the_kernels_offsets_in_its_scene(kernel, fine, coarse, share):
    voxels = VoxelSet(random_coords(7, share))
    inputs = {tuple(row) for row in voxels.coords(fine).tolist()}
    first, expected = -((kernel - 1) // 2), set()
    span = range(first, first + kernel)
    offsets = [(x, y, z) for x in span for y in span for z in span]
    if kernel % 2:
        offsets = [offset[::-1] for offset in offsets]
    for x, y, z, scene in voxels.coords(coarse).tolist():
        for k, (i, j, m) in enumerate(offsets):
            neighbour = (x + i * fine, y + j * fine, z + m * fine, scene)
            if neighbour in inputs:
                expected.add((k, neighbour, (x, y, z, scene)))
    assert connections(voxels, kernel, fine, coarse) == expected


@pytest.mark.parametrize("size, name", [(3, "offsets3"), (2, "offsets2")])
def test_offsets_are_numbered_as_in_torchsparse(size, name):
    offsets = torch.cartesian_prod(*[torch.arange(size)] * 3) - (size - 1) // 2
    expected = tensor(read("neuralrecon/sparse_ops")[name])
    assert (expected[kernel_order(size)] == offsets).all()


def test_the_table_of_a_map_holds_each_outputs_inputs():
    found = VoxelSet(random_coords(6, 0.9)).kernel_map(3, 1, 1)
    table = torch.full((found.outputs, 27), found.inputs)
    for k, (inputs, outputs) in enumerate(found.pairs):
        table[outputs, k] = inputs
    assert (found.table == table).all()


def test_maps_and_coarser_voxels_are_found_once():
    voxels = VoxelSet(random_coords(5, 0.5))
    assert voxels.kernel_map(3, 1, 2) is voxels.kernel_map(3, 1, 2)
    assert voxels.level(2) is voxels.level(2)


def test_voxels_far_apart_take_no_memory_for_the_space_between():
    coords = torch.tensor([[-2**19, -2**19, 0, 0], [2**19, 2**19, 2**15, 3], [2**19, 2**19, 2**15 + 1, 3]])
    found = VoxelSet(coords).kernel_map(3, 1, 1)
    assert [len(inputs) for inputs, _ in found.pairs] == [1 if k in (4, 22) else 3 if k == 13 else 0 for k in range(27)]


def test_voxels_too_far_apart_for_their_keys_are_refused():
    with pytest.raises(DataError, match="scenes, x, y, z"):
        VoxelSet(torch.tensor([[-2**30] * 3 + [0], [2**30] * 3 + [0]]))


def test_a_set_may_be_empty():
    voxels = VoxelSet(torch.zeros(0, 4, dtype=torch.int32))
    assert len(voxels.coords(2)) == len(voxels.kernel_map(2, 1, 2).pairs[0][0]) == 0
