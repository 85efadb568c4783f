"""Sampling a signed distance field on a grid: everywhere, or only where its surface may be.

Coarse to fine relies on a Lipschitz bound: between two points the field changes by at most ``lipschitz`` times their distance
(a true distance field: 1). A value f at c then fixes the field's sign within |f| / lipschitz of c. Blocks of cells are probed
at their middles and halved while the probe doesn't determine their sign; the last blocks' lattice points are evaluated only
where no probe fixes their sign; and the corners of every cell that the surface crosses are evaluated. Marching cubes reads no
other value, so the surface is the dense grid's, triangle by triangle.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from deep3dmap.geometry.meshing_grids import Grid

Field = Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]]


class FieldSampler:
    """Evaluates a field minus a level at lattice points, in chunks and without gradients; counts evaluations.

    Args:
        sdf: the field, from (p, 3) points to (p,) values.
        grid: the lattice.
        level: subtracted from the values.
        chunk: most points in one call of the field.
        like: its device and floating-point type are those of the points that the field is given.
    """

    def __init__(self, sdf: Field, grid: Grid, level: float, chunk: int, like: Tensor):
        self.sdf, self.grid, self.level, self.chunk, self.like = sdf, grid, level, chunk, like
        self.evaluations, self.lowest, self.highest = 0, np.inf, -np.inf

    @torch.no_grad()
    def __call__(self, index: Integer[np.ndarray, "p 3"]) -> Float[np.ndarray, "p"]:
        """Values at lattice coordinates, as float32.

        Raises:
            ValueError: if the field returns another shape than one value per point, or values that are not finite.
        """
        values = np.empty(len(index), np.float32)
        for start in range(0, len(index), self.chunk):
            part = slice(start, start + self.chunk)
            points = torch.as_tensor(self.grid.points(index[part])).to(self.like)
            out = self.sdf(points)
            if out.shape != points.shape[:1]:
                raise ValueError(f"the sdf returned {tuple(out.shape)} for {len(points)} points; it must return one value "
                                 f"per point, {tuple(points.shape[:1])}")
            values[part] = (out - self.level).float().cpu().numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"the sdf is not finite at {(~np.isfinite(values)).sum()} of {len(values)} points; has the "
                             "training diverged?")
        self.evaluations += len(values)
        self.lowest = float(values.min(initial=self.lowest))
        self.highest = float(values.max(initial=self.highest))
        return values


def sample_dense(sample: FieldSampler) -> Float[np.ndarray, "x y z"]:
    """Values at every lattice point: the reference implementation of :func:`sample_coarse_to_fine`."""
    shape = sample.grid.shape
    count, values = int(np.prod(shape)), np.empty(shape, np.float32)
    for start in range(0, count, sample.chunk):
        flat = np.arange(start, min(start + sample.chunk, count))
        values.reshape(-1)[flat] = sample(np.stack(np.unravel_index(flat, shape), -1))
    return values


def sample_coarse_to_fine(sample: FieldSampler, lipschitz: float) -> Float[np.ndarray, "x y z"]:
    """Values with the dense grid's sign everywhere, and its values at the corners of all cells that the surface crosses.

    That holds for every field that changes by at most ``lipschitz`` times the distance. For a steeper one it is corrected
    where detected: blocks that touch one of the other sign are probed further, and a fill that a neighbouring value
    contradicts is evaluated, until none is left; only a piece of surface far from every probe can be missed.
    """
    stride = 2**int(np.log2(max(sample.grid.cells) / 16)) if max(sample.grid.cells) >= 32 else 0
    if not stride:
        return sample_dense(sample)
    positive, open_, probes, values = _probe_blocks(sample, stride, lipschitz)
    positive, negative = _certain_signs(sample.grid, positive, open_, probes, values, lipschitz)
    unknown = positive == negative  # undetermined, or contradictory: the field is steeper than the bound
    known = np.zeros(sample.grid.shape, bool)
    volume = np.where(positive, np.float32(1), np.float32(-1))
    _set(volume, known, probes, values)
    unknown &= ~known
    while unknown.any():
        index = np.argwhere(unknown)
        _set(volume, known, index, sample(index))
        unknown = corners_of_crossed_cells(volume > 0) & ~known
    return volume


def _set(volume, known, index, values) -> None:
    where = tuple(index.T)
    volume[where], known[where] = values, True


def _probe_blocks(sample: FieldSampler, stride: int, lipschitz: float):
    """Halve blocks of ``stride``^3 cells down to 2^3 wherever a probe at their centre doesn't determine their sign.

    Returns:
        Of the blocks of 2^3 cells: the sign at their centre (positive or not), and whether it is undetermined; of those
        probed: the lattice coordinates of the probes and their values.
    """
    cells = np.array(sample.grid.cells)
    blocks = -(-cells // stride)
    positive, open_ = np.zeros(blocks, bool), np.ones(blocks, bool)
    while True:
        tested = np.argwhere(open_)
        probes = np.minimum(tested * stride + stride // 2, cells)
        values = sample(probes)
        reach = lipschitz * stride / 2 * np.linalg.norm(sample.grid.spacing)
        positive[tuple(tested.T)] = values > 0
        open_[tuple(tested.T)] = np.abs(values) <= reach
        for axis in range(3):  # blocks that share a face with one of the other sign
            first, second = _neighbours(3, axis)
            differs = positive[first] != positive[second]
            open_[first] |= differs
            open_[second] |= differs
        if stride == 2:
            return positive, open_, probes, values
        stride //= 2
        finer = tuple(slice(n) for n in -(-cells // stride))
        positive, open_ = (a.repeat(2, 0).repeat(2, 1).repeat(2, 2)[finer] for a in (positive, open_))


def _neighbours(dimensions: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    every = [slice(None)] * dimensions
    return tuple(every[:axis] + [slice(None, -1)] + every[axis + 1:]), tuple(every[:axis] + [slice(1, None)] +
                                                                             every[axis + 1:])


def _certain_signs(grid: Grid, positive, open_, probes, values, lipschitz: float):
    """Lattice points that are surely positive, and surely negative: from settled blocks and from the last probes."""
    owner = [np.minimum(np.arange(n + 1) // 2, size - 1) for n, size in zip(grid.cells, positive.shape)]
    surely = ((positive & ~open_)[np.ix_(*owner)], (~positive & ~open_)[np.ix_(*owner)])
    for offset in product((-1, 0, 1), repeat=3):
        reach = lipschitz * np.linalg.norm(grid.spacing * offset)
        index = probes + offset
        inside = ((index >= 0) & (index <= grid.cells)).all(1)
        for sign, certain in zip((1, -1), surely):
            certain[tuple(index[inside & (sign * values > reach)].T)] = True
    return surely


def corners_of_crossed_cells(positive: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """Lattice points that are a corner of a cell whose corners don't all have the same sign."""
    some, every = positive, positive
    for axis in range(3):
        first, second = _neighbours(3, axis)
        some, every = some[first] | some[second], every[first] & every[second]
    marked = some & ~every
    for axis in range(3):
        first, second = _neighbours(3, axis)
        shape = list(marked.shape)
        shape[axis] += 1
        grown = np.zeros(shape, bool)
        grown[first] |= marked
        grown[second] |= marked
        marked = grown
    return marked
