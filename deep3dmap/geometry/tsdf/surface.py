"""Meshes of TSDFs by marching cubes (Lewiner et al. 2003, in scikit-image), only where all corners of a cell were measured.

Unmeasured voxels hold 1, so that without this a second surface would appear behind each one, where the truncation ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Float32, Int64, UInt8, UInt16
from scipy.ndimage import map_coordinates
from skimage import measure


@dataclass(frozen=True)
class Lattice:
    """Voxels' centres in the world.

    Attributes:
        origin: of voxel (0, 0, 0), metres.
        voxel_size: metres.
    """

    origin: Float[np.ndarray, "3"]
    voxel_size: float


def volume_mesh(lattice: Lattice,
                tsdf: Float32[np.ndarray, "x y z"],
                known: Bool[np.ndarray, "x y z"] | None = None,
                color: UInt16[np.ndarray, "x y z 4"] | None = None) -> trimesh.Trimesh:
    """The surface ``tsdf = 0`` in the world; its normals point to positive values. Empty if there is none.

    Args:
        lattice: where the voxels are.
        tsdf: values.
        known: voxels that were measured; all by default.
        color: see :func:`.kernel.update`; none by default.
    """
    piece = surface_piece(np.zeros(3, np.int64), tsdf, np.ones(tsdf.shape, bool) if known is None else known, color)
    return joined(lattice, [piece] if piece is not None else [], color is not None)


@dataclass(frozen=True)
class Piece:
    """Part of a surface: vertices and faces in voxels, and colours if there are any."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]
    colors: UInt8[np.ndarray, "v 3"] | None


def surface_piece(first: Int64[np.ndarray, "3"], tsdf: Float32[np.ndarray, "x y z"], known: Bool[np.ndarray, "x y z"],
           color: UInt16[np.ndarray, "x y z 4"] | None) -> Piece | None:  # yapf: disable
    """The surface within a box of voxels whose first is ``first``; None if there is none."""
    cells = known
    for axis in range(3):
        low, high = (slice(None), ) * axis + (slice(None, -1), ), (slice(None), ) * axis + (slice(1, None), )
        cells = cells[low] & cells[high]
    if not cells.any() or min(tsdf[known].min(), -tsdf[known].max()) >= 0:
        return None
    mask = np.zeros(tsdf.shape, bool)
    mask[1:, 1:, 1:] = cells  # scikit-image looks for a cell at its last corner
    try:
        vertices, faces, _, _ = measure.marching_cubes(tsdf, 0.0, mask=mask)
    except (RuntimeError, ValueError):  # no cell of the mask is crossed
        return None
    colors = None if color is None else _colors_at(vertices.astype(np.float64), color)
    return Piece(vertices.astype(np.float64) + first, faces.astype(np.int64), colors)


def _colors_at(points: Float[np.ndarray, "v 3"], color: UInt16[np.ndarray, "x y z 4"]) -> UInt8[np.ndarray, "v 3"]:
    """Colours between the voxels that have any; grey where none has."""
    colored = (color[..., 3] > 0).astype(np.float64)
    share = map_coordinates(colored, points.T, order=1)
    mixed = [map_coordinates(color[..., c] * colored, points.T, order=1) / 256 for c in range(3)]
    mean = np.where(share > 0, np.stack(mixed) / np.maximum(share, 1e-12), 128.0)
    return mean.round().clip(0, 255).astype(np.uint8).T


def joined(lattice: Lattice, pieces: Iterable[Piece], colored: bool) -> trimesh.Trimesh:
    """One mesh of pieces that meet at voxels' planes: the vertices there, which two pieces have, become one."""
    pieces, offset = list(pieces), 0
    if not pieces:
        return trimesh.Trimesh()
    faces = []
    for piece in pieces:
        faces.append(piece.faces + offset)
        offset += len(piece.vertices)
    vertices, faces = np.concatenate([piece.vertices for piece in pieces]), np.concatenate(faces)
    colors = np.concatenate([piece.colors for piece in pieces]) if colored else None
    if len(pieces) > 1:
        chosen, inverse = _unique_edges(vertices)
        vertices, colors, faces = vertices[chosen], None if colors is None else colors[chosen], inverse[faces]
    return trimesh.Trimesh(lattice.origin + lattice.voxel_size * vertices, faces, vertex_colors=colors, process=False)


def _unique_edges(vertices: Float[np.ndarray, "v 3"]) -> tuple[Int64[np.ndarray, "u"], Int64[np.ndarray, "v"]]:
    """One vertex for each edge of the lattice that vertices lie on, and its number for each of them.

    A vertex is on the edge that its whole coordinates fix; within a cell (Lewiner's additional ones) it stays alone.
    """
    low = np.floor(vertices).astype(np.int64)
    direction = ((vertices != low) * [1, 2, 4]).sum(1)
    inside = np.where(np.isin(direction, [0, 1, 2, 4]), 0, np.arange(len(vertices)) + 1)
    _, chosen, inverse = np.unique(np.column_stack([low, direction, inside]), axis=0, return_index=True, return_inverse=True)
    return chosen, inverse.reshape(-1)
