"""Meshes of signed distances that are known at some voxels only, part by part, so that memory grows with the surface."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import trimesh
from jaxtyping import Float32, Int64

from deep3dmap.geometry.tsdf.surface import Lattice, Piece, joined, surface_piece

#: Cells along the edge of a part.
PART = 64


def sparse_mesh(lattice: Lattice, coords: Int64[np.ndarray, "n 3"], tsdf: Float32[np.ndarray, " n"],
                closed: bool = True) -> trimesh.Trimesh:  # yapf: disable
    """The surface ``tsdf = 0`` in the world; its normals point to positive values. Empty if there is none.

    Args:
        lattice: where the voxels are.
        coords: the known voxels, each once.
        tsdf: their distances.
        closed: unknown voxels within the known ones' box hold 1, as in NeuralRecon; otherwise there is a surface between known
            voxels only.
    """
    return joined(lattice, _pieces(coords, tsdf, closed), False)


def _pieces(coords: Int64[np.ndarray, "n 3"], tsdf: Float32[np.ndarray, " n"], closed: bool) -> Iterator[Piece]:
    rows, parts = _members(coords)
    low, high = (coords.min(0), coords.max(0)) if len(coords) else (np.zeros(3), np.zeros(3))
    chosen, group = np.unique(parts, axis=0, return_inverse=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    for part, members in zip(chosen, np.split(rows[order], np.cumsum(np.bincount(group.reshape(-1)))[:-1])):
        first = part * PART
        place = tuple((coords[members] - first).T)
        values, known = np.ones((PART + 1, ) * 3, np.float32), np.zeros((PART + 1, ) * 3, bool)
        values[place], known[place] = tsdf[members], True
        if closed:
            known[tuple(slice(max(a, 0), b + 1) for a, b in zip(low - first, high - first))] = True
        piece = surface_piece(first, values, known, None)
        if piece is not None:
            yield piece


def _members(coords: Int64[np.ndarray, "n 3"]) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, "m 3"]]:
    """Voxels and the parts that have them: their own, and those before, whose last cells end at them."""
    own, rows, parts = coords // PART, [], []
    for shift in product((0, 1), repeat=3):
        last = ((coords % PART == 0) | (np.array(shift) == 0)).all(1).nonzero()[0]
        rows.append(last), parts.append(own[last] - shift)
    return np.concatenate(rows), np.concatenate(parts)
