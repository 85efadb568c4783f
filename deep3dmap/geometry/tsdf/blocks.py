"""A TSDF in blocks of voxels, allocated near measured surfaces, so that memory grows with the surface and not with the space.

Nießner et al., "Real-time 3D reconstruction at scale using voxel hashing", SIGGRAPH Asia 2013; here the blocks are found by a
sorted list of their coordinates.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from deep3dmap.geometry.tsdf import kernel
from deep3dmap.geometry.tsdf.frame import DepthFrame, pinhole
from deep3dmap.geometry.tsdf.surface import Lattice, Piece, joined, surface_piece
from deep3dmap.geometry.tsdf.threads import in_threads, integrate_blocks

#: Voxels along a block's edge.
EDGE = 8
#: Blocks along the edge of a part that is meshed at once.
PART = 8
#: Factor by which the arrays grow.
GROWTH = 1.5


class BlockVolume:
    """A TSDF of unbounded extent; the voxel (i, j, k) has its centre at ``voxel_size * (i, j, k)`` in the world.

    A block has seen the frames since its allocation only, also those that see through it. To give all blocks all frames,
    :meth:`allocate` all frames first.

    Args:
        voxel_size: metres.
        margin: of truncation, in voxels.
        max_depth: larger depths are unknown, metres.

    Attributes:
        coordinates: (n, 3) of the blocks, in blocks, in the order of their allocation.
        tsdf, weight, color: (n, 8, 8, 8) and (n, 8, 8, 8, 4), as in :class:`.dense.DenseVolume`.
    """

    def __init__(self, voxel_size: float = 0.04, margin: float = 3.0, max_depth: float = np.inf):
        self.voxel_size, self.margin, self.max_depth, self.count = voxel_size, margin, max_depth, 0
        self._keys, self._order = np.empty(0, np.int64), np.empty(0, np.int64)
        self._arrays = _empty(0)

    def __len__(self) -> int:
        return self.count

    @property
    def coordinates(self) -> Int64[np.ndarray, "n 3"]:
        """See the class."""
        return self._arrays["coordinates"][:self.count]

    @property
    def tsdf(self) -> Float[np.ndarray, "n i j k"]:
        """See the class."""
        return self._arrays["tsdf"][:self.count]

    @property
    def weight(self) -> Float[np.ndarray, "n i j k"]:
        """See the class."""
        return self._arrays["weight"][:self.count]

    @property
    def color(self) -> np.ndarray:
        """See the class."""
        return self._arrays["color"][:self.count]

    @property
    def nbytes(self) -> int:
        """Memory that the blocks take."""
        return sum(array.nbytes for array in self._arrays.values())

    def find(self, coordinates: Int64[np.ndarray, "m 3"]) -> Int64[np.ndarray, "m"]:
        """Indices of blocks by their coordinates; -1 where there is none."""
        return self._find(_keys(coordinates))

    def _find(self, keys: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
        if not self.count:
            return np.full(len(keys), -1)
        place = np.searchsorted(self._keys, keys).clip(max=self.count - 1)
        return np.where(self._keys[place] == keys, self._order[place], -1)

    def allocate(self, frame: DepthFrame) -> int:
        """Allocate the blocks around a depth map's surface; returns how many are new."""
        depth, truncation = np.ascontiguousarray(frame.depth), self.margin * self.voxel_size

        def rows(first: int, last: int) -> np.ndarray:
            return np.unique(kernel.touched(depth, first, last, pinhole(frame.K), frame.pose[:3].astype(np.float64),
                                            EDGE * self.voxel_size, truncation, float(self.max_depth)))  # yapf: disable

        keys = np.unique(np.concatenate(in_threads(rows, len(depth))))
        new = keys[self._find(keys) < 0]
        self._reserve(self.count + len(new))
        self._arrays["coordinates"][self.count:self.count + len(new)] = _coordinates(new)
        self.count += len(new)
        if len(new):
            self._index()
        return len(new)

    def _reserve(self, count: int) -> None:
        """Make room for so many blocks."""
        room = len(self._arrays["tsdf"])
        if count > room:
            more = _empty(max(count, int(GROWTH * room)) - self.count)
            self._arrays = {name: np.concatenate([self._arrays[name][:self.count], more[name]]) for name in more}

    def _index(self) -> None:
        keys = _keys(self.coordinates)
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def integrate(self, frame: DepthFrame) -> None:
        """Fuse a depth map, and its picture if it has one, into all blocks in view, after allocating those it needs."""
        self.allocate(frame)
        slots = np.flatnonzero(self._in_view(frame))
        corners = self.coordinates[slots] * (EDGE * self.voxel_size)
        integrate_blocks((self.tsdf, self.weight, self.color), slots, corners, self.voxel_size, frame,
                         self.margin * self.voxel_size, self.max_depth)  # yapf: disable

    def _in_view(self, frame: DepthFrame) -> Bool[np.ndarray, "n"]:
        """Blocks whose surrounding sphere reaches into the camera's pyramid, up to its largest depth."""
        cam, size = frame.world_to_cam, EDGE * self.voxel_size
        x, y, z = ((self.coordinates + 0.5) * size @ cam[:, :3].T + cam[:, 3]).T
        fx, fy, cx, cy = pinhole(frame.K)
        height, width = frame.depth.shape
        deepest = np.max(frame.depth, where=np.isfinite(frame.depth), initial=0.0).clip(max=self.max_depth)
        reach = 0.5 * np.sqrt(3) * size
        seen = (z > -reach) & (z < deepest + self.margin * self.voxel_size + reach)
        for f, c, n, along in ((fx, cx, width, x), (fy, cy, height, y)):
            seen &= f * along + c * z > -reach * np.hypot(f, c)
            seen &= f * along + (c - n) * z < reach * np.hypot(f, n - c)
        return seen

    def mesh(self, min_weight: float = 1.0) -> trimesh.Trimesh:
        """The coloured surface between voxels measured in so many depth maps, in the world; empty if there is none."""
        return joined(Lattice(np.zeros(3), self.voxel_size), self._pieces(min_weight), True)

    def _pieces(self, min_weight: float) -> Iterator[Piece]:
        """The surface part by part, each with the first voxels of its neighbours."""
        around = np.stack(np.meshgrid(*[np.arange(PART + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
        voxels = PART * EDGE + 1
        for part in np.unique(np.floor_divide(self.coordinates, PART), axis=0):
            slots = self.find(part * PART + around)
            places, slots = np.flatnonzero(slots >= 0), slots[slots >= 0]
            tsdf, weight, color = (_assembled(array, places, slots)[:voxels, :voxels, :voxels]
                                   for array in (self.tsdf, self.weight, self.color))  # yapf: disable
            piece = surface_piece(part * PART * EDGE, tsdf, weight >= min_weight, color)
            if piece is not None:
                yield piece

    def state(self) -> dict[str, Tensor]:
        """The blocks as tensors, to save."""
        return {name: torch.from_numpy(array[:self.count].view(np.int16) if array.dtype == np.uint16 else array[:self.count])
                for name, array in self._arrays.items()}  # yapf: disable

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore the blocks of :meth:`state`; none for an empty one."""
        self._arrays = {name: state[name].numpy().view(array.dtype).copy() if state else array
                        for name, array in _empty(0).items()}  # yapf: disable
        self.count = len(self._arrays["tsdf"])
        self._index()


def _empty(count: int) -> dict[str, np.ndarray]:
    """Arrays of blocks in which nothing was measured."""
    shape = (count, EDGE, EDGE, EDGE)
    return dict(coordinates=np.zeros((count, 3), np.int64), tsdf=np.ones(shape, np.float32),
                weight=np.zeros(shape, np.float32), color=np.zeros((*shape, 4), np.uint16))  # yapf: disable


def _keys(coordinates: Int64[np.ndarray, "m 3"]) -> Int64[np.ndarray, "m"]:
    """One integer for each block."""
    x, y, z = (coordinates + kernel.BIAS).T
    return x << 42 | y << 21 | z


def _coordinates(keys: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "m 3"]:
    """The inverse of :func:`_keys`."""
    return np.stack([keys >> 42, keys >> 21 & 2 * kernel.BIAS - 1, keys & 2 * kernel.BIAS - 1], 1) - kernel.BIAS


def _assembled(array: np.ndarray, places: Int64[np.ndarray, "m"], slots: Int64[np.ndarray, "m"]) -> np.ndarray:
    """Blocks at their places in a cube of (PART + 1)^3 as one volume, 0 where there is none."""
    side, rest = PART + 1, array.shape[4:]
    cube = np.zeros((side**3, *array.shape[1:]), array.dtype)
    cube[places] = array[slots]
    cube = cube.reshape(side, side, side, EDGE, EDGE, EDGE, *rest)
    return np.moveaxis(cube, (0, 1, 2, 3, 4, 5), (0, 2, 4, 1, 3, 5)).reshape(*[side * EDGE] * 3, *rest)
