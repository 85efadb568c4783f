"""Voxels for the tests: random ones, dense grids of them, and rows by coordinates."""

import torch
from torch import Tensor

from deep3dmap.backbones.sparse import PointVoxels, SparseTensor


def random_coords(size: int, share: float, scenes: int = 2, low: int = -3) -> Tensor:
    """Different voxels (n, 4) of that share of a cube in each scene, in random order."""
    cube = torch.cartesian_prod(*[torch.arange(low, low + size)] * 3, torch.arange(scenes))
    return cube[torch.randperm(len(cube))[:round(share * len(cube))]]


def sparse(coords: Tensor, features: Tensor) -> SparseTensor:
    """Features of voxels, in the set's order."""
    return PointVoxels(coords.to(features.dtype), 1.0).pool(features)


def dense(x: SparseTensor, size: int, low: int = -3) -> Tensor:
    """The features in a grid (scenes, c, x, y, z) of the tensor's stride, 0 where no voxel is."""
    places = (x.coords.long() - torch.tensor([low, low, low, 0])) // torch.tensor([x.stride] * 3 + [1])
    grid = x.features.new_zeros(int(places[:, 3].max()) + 1, *[size // x.stride] * 3, x.features.shape[1])
    grid = grid.index_put(tuple(places[:, [3, 0, 1, 2]].unbind(1)), x.features)
    return grid.permute(0, 4, 1, 2, 3)


def rows_of(wanted: Tensor, coords: Tensor) -> Tensor:
    """Where each row of ``wanted`` is among ``coords``; the two must hold the same rows."""
    places = {tuple(row): k for k, row in enumerate(coords.tolist())}
    assert len(places) == len(coords) == len(wanted)
    return torch.tensor([places[tuple(row)] for row in wanted.tolist()])
