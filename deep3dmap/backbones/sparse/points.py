"""Exchange of features between points and the voxels around them (SPVCNN: Tang et al., "Searching Efficient 3D Architectures
with Sparse Point-Voxel Convolution", ECCV 2020, section 3.2).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from deep3dmap.backbones.sparse.voxels import LARGEST, SparseTensor, VoxelSet, coarsen, wide
from deep3dmap.errors import DataError


class PointVoxels:
    """Points of a batch of scenes, and the voxels that hold them.

    Args:
        points: x, y, z and the number of the scene.
        resolution: edge length of a voxel, in the points' unit.

    Attributes:
        coords: (n, 4) the points in voxels, and their scenes.
        voxels: the voxels that hold points.

    Raises:
        DataError: if a point is not finite or too far away.
    """

    def __init__(self, points: Float[Tensor, "n 4"], resolution: float):
        self.coords = torch.cat([points[:, :3] / resolution, points[:, 3:]], 1)
        bad = ~(self.coords.abs() < LARGEST).all(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise DataError(f"point {row} at {points[row].tolist()} (x, y, z, scene) can't be put in voxels of {resolution}: "
                            "check the poses and the voxel size")
        self._cells = self.coords.floor().int()
        self.voxels = VoxelSet(self._cells)
        self._corners: dict[int, tuple[Tensor, Tensor]] = {}

    def pool(self, features: Float[Tensor, "n c"], stride: int = 1) -> SparseTensor:
        """The mean of the points in each voxel of a stride."""
        level = self.voxels.level(stride)
        rows = next(level.find(coarsen(self._cells, stride), 1))
        features = wide(features)
        total = features.new_zeros(len(level), features.shape[1]).index_add(0, rows, features)
        counts = torch.bincount(rows, minlength=len(level))
        return SparseTensor(total / counts[:, None], self.voxels, stride)

    def interpolate(self, x: SparseTensor) -> Float[Tensor, "n c"]:
        """Trilinear interpolation at the points between the lowest corners of voxels (of this set); those that are not
        occupied don't count.
        """
        if x.stride not in self._corners:
            self._corners[x.stride] = self._find_corners(x.stride)
        rows, weights = self._corners[x.stride]
        features = wide(x.features)
        return functional.embedding_bag(rows, features, mode="sum", per_sample_weights=weights.to(features.dtype))

    def _find_corners(self, stride: int) -> tuple[Int[Tensor, "n 8"], Float[Tensor, "n 8"]]:
        """Rows of the eight voxels around each point, and their weights; the weight is 0 where there is none."""
        cells = coarsen(self._cells, stride)
        rows = torch.stack(list(self.voxels.level(stride).find(cells, 2)), 1)
        upper = self.coords[:, :3] / stride - cells[:, :3]
        x, y, z = torch.stack([1 - upper, upper], 1).unbind(2)  # (n, 2): shares of the lower and of the upper corner
        weights = (x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]).flatten(1)
        weights = weights.masked_fill(rows < 0, 0)
        return rows.clamp(min=0), weights / (weights.sum(1, keepdim=True) + 1e-8)
