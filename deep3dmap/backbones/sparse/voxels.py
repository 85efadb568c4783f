"""Sets of occupied voxels, and which of them a convolution connects.

A voxel has one integer key, in which z varies fastest and the scene of the batch slowest, and a set is sorted by it. So
neighbours in z are neighbours in the set, and a run of voxels along z is found with one binary search. Time and memory grow
with the number of voxels, not with the volume around them.

Offsets of kernels are numbered as in torchsparse (Tang et al., "Searching Efficient 3D Architectures with Sparse Point-Voxel
Convolution", ECCV 2020), so that its weights fit: x varies fastest in kernels of odd size, z in those of even size.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.errors import DataError

#: Empty cells around the box of the voxels, at least a kernel's size: what is looked up there isn't found.
MARGIN = 8
#: Coordinates are stored as int32; those of neighbours must fit too.
LARGEST = 2**31 - 2 * MARGIN


def wide(features: Tensor) -> Tensor:
    """Features in at least float32, in which they are summed: each addition in bfloat16 would lose digits."""
    return features.to(torch.promote_types(features.dtype, torch.float32))


class SortedCells:
    """Different cells of an integer grid in the order of their keys.

    Args:
        cells: (m, 4) x, y, z, batch in any order, repetitions allowed.

    Attributes:
        cells: (n, 4) int32, each once.
        rows: (m,) where each of the given cells is among them.

    Raises:
        DataError: if the cells are so far apart that their keys don't fit in 64 bits.
    """

    def __init__(self, cells: Int[Tensor, "m 4"]):
        cells = cells.roll(1, 1).long()  # batch, x, y, z
        bounds = cells if len(cells) else cells.new_zeros(1, 4)
        self.low = bounds.amin(0) - MARGIN
        self.size = (bounds.amax(0) + MARGIN + 1 - self.low).tolist()
        if math.prod(self.size) >= 2**62:
            raise DataError(f"voxels span {self.size} cells (scenes, x, y, z), too many for keys of 64 bits: "
                            "look for coordinates far from the rest, or choose a larger voxel size")
        self.steps = [math.prod(self.size[axis + 1:]) for axis in range(4)]
        keys, self.rows = torch.unique(self._key(cells), return_inverse=True)
        self.keys = torch.cat([keys, keys.new_full((1, ), 2**63 - 1)])  # the end of every run
        parts = [keys // step % size for step, size in zip(self.steps, self.size)]
        self.cells = (torch.stack(parts, 1) + self.low).roll(-1, 1).int()

    def __len__(self) -> int:
        return len(self.cells)

    def _key(self, cells: Int[Tensor, "k 4"]) -> Int[Tensor, "k"]:
        """Keys of cells (batch, x, y, z); what is far outside becomes a cell of the margin."""
        highest = self.low.new_tensor(self.size) - MARGIN
        places = (cells - self.low).clamp(min=0).minimum(highest)
        return (places * self.low.new_tensor(self.steps)).sum(1)

    def find(self, starts: Int[Tensor, "k 4"], kernel: int) -> Iterator[Int[Tensor, "k"]]:
        """For each offset in 0 ... kernel-1 from ``starts``, z fastest, the rows of the cells there; -1 where none is."""
        keys = self._key(starts.roll(1, 1).long())
        for x, y in product(range(kernel), repeat=2):
            wanted = keys + x * self.steps[1] + y * self.steps[2]
            row = torch.searchsorted(self.keys, wanted)
            for z in range(kernel):
                found = self.keys[row] == wanted + z
                yield torch.where(found, row, -1)
                row = row + found


def coarsen(cells: Int[Tensor, "n 4"], factor: int) -> Int[Tensor, "n 4"]:
    """The cells, ``factor`` times as large, that hold these."""
    return cells.div(cells.new_tensor([factor] * 3 + [1]), rounding_mode="floor")


def kernel_order(size: int) -> list[int]:
    """The kernel's index of each offset, where offsets are taken with z varying fastest."""
    offsets = product(range(size), repeat=3)
    return [x + size * (y + size * z) if size % 2 else (x * size + y) * size + z for x, y, z in offsets]


@dataclass(frozen=True)
class KernelMap:
    """Which voxels a convolution connects.

    Attributes:
        pairs: for each of the kernel's offsets the rows of inputs and of outputs that it connects, ascending.
        inputs, outputs: numbers of voxels.
        symmetric: whether voxels are connected among themselves, so that an offset and its opposite connect the same.
    """

    pairs: tuple[tuple[Tensor, Tensor], ...]
    inputs: int
    outputs: int
    symmetric: bool

    @cached_property
    def table(self) -> Int[Tensor, "outputs offsets"] | None:
        """Each output's inputs, ``inputs`` where there is none; None unless symmetric and at least half are there."""
        if not self.symmetric or 2 * sum(len(rows) for rows, _ in self.pairs) < len(self.pairs) * self.outputs:
            return None
        table = self.pairs[0][0].new_full((self.outputs, len(self.pairs)), self.inputs, dtype=torch.int32)
        for column, (inputs, outputs) in zip(table.unbind(1), self.pairs):
            column[outputs] = inputs.int()
        return table

    @property
    def swapped(self) -> "KernelMap":
        """The same connections from outputs to inputs."""
        return KernelMap(tuple(pair[::-1] for pair in self.pairs), self.outputs, self.inputs, self.symmetric)


class VoxelSet:
    """The occupied voxels of a batch of scenes, at stride 1 and at any coarser one.

    A voxel of stride s is occupied if one of its s³ voxels of stride 1 is. Coarser voxels and the maps of convolutions are
    found when first needed, and kept.

    Args:
        coords: (m, 4) x, y, z and the number of the scene, in voxels, in any order.

    Attributes:
        rows: (m,) which row of :meth:`coords` each of the given ones is.
    """

    def __init__(self, coords: Int[Tensor, "m 4"]):
        self._levels = {1: SortedCells(coords)}
        self._maps: dict[tuple[int, int, int], KernelMap] = {}
        self.rows = self._levels[1].rows

    def level(self, stride: int) -> SortedCells:
        """The voxels of a stride; their cells are as large as themselves."""
        if stride not in self._levels:
            finer = max(known for known in self._levels if stride % known == 0)
            self._levels[stride] = SortedCells(coarsen(self._levels[finer].cells, stride // finer))
        return self._levels[stride]

    def coords(self, stride: int = 1) -> Int[Tensor, "n 4"]:
        """The lowest corner of each voxel of a stride in voxels of stride 1, and its scene; ascending by scene, x, y, z."""
        cells = self.level(stride).cells
        return cells * cells.new_tensor([stride] * 3 + [1])

    def kernel_map(self, kernel: int, fine: int, coarse: int) -> KernelMap:
        """What a convolution connects: inputs are voxels of stride ``fine``, outputs those of stride ``coarse``.

        An odd kernel is centred on the lowest of the voxels inside the output's; one of two begins there.
        """
        key = kernel, fine, coarse
        if key not in self._maps:
            inputs, cells = self.level(fine), self.level(coarse).cells
            ratio, shift = coarse // fine, (kernel - 1) // 2
            starts = cells * cells.new_tensor([ratio] * 3 + [1]) - cells.new_tensor([shift] * 3 + [0])
            pairs = map(_pairs, inputs.find(starts, kernel))
            symmetric = kernel % 2 == 1 and fine == coarse
            if symmetric:  # half of the search is enough
                every = torch.arange(len(cells), device=cells.device)
                pairs = _mirrored(list(islice(pairs, kernel**3 // 2)), every)
            ordered = sorted(zip(kernel_order(kernel), pairs), key=lambda item: item[0])
            self._maps[key] = KernelMap(tuple(pair for _, pair in ordered), len(inputs), len(cells), symmetric)
        return self._maps[key]


def _pairs(rows: Int[Tensor, "n"]) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"]]:
    outputs = (rows >= 0).nonzero()[:, 0]
    return rows[outputs], outputs


def _mirrored(half: list[tuple[Tensor, Tensor]], every: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pairs of all offsets of a symmetric map from those of the first half; the centre's are every voxel and itself."""
    return [*half, (every, every), *(pair[::-1] for pair in reversed(half))]


@dataclass(frozen=True)
class SparseTensor:
    """Features of the occupied voxels of one stride.

    Attributes:
        features: (n, c), row by row those of ``voxels.coords(stride)``.
        voxels: the set.
        stride: edge length of the voxels.
    """

    features: Float[Tensor, "n c"]
    voxels: VoxelSet
    stride: int = 1

    @property
    def coords(self) -> Int[Tensor, "n 4"]:
        """The voxels' lowest corners in voxels of stride 1, and their scenes."""
        return self.voxels.coords(self.stride)

    def with_features(self, features: Float[Tensor, "n d"]) -> "SparseTensor":
        """The same voxels with other features."""
        return replace(self, features=features)

    def joined(self, other: "SparseTensor") -> "SparseTensor":
        """These channels followed by another's of the same voxels."""
        return self.with_features(torch.cat([self.features, other.features], 1))
