"""NeuralRecon's recurrent unit: what a voxel remembers, updated by a new observation (section 3.2, equation 2).

The published code voxelises the input of the update gate and of the reset gate in place, one after the other. So the reset
gate gets coordinates divided by the voxel size twice, thus (for voxels below a metre) cells far smaller than a voxel, whose
convolution finds hardly any neighbours. Its result is read with the table of the update gate's voxels, and both are numbered
by the hashes of their coordinates: a voxel gets the value of an unrelated one. This is deterministic, and presumably the
published weights were trained with it: :class:`ConvGRU` needs ``variant="published"`` for them. ``"clean"`` computes what the
paper describes.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.backbones.sparse.convolution import SparseConv3d
from deep3dmap.backbones.sparse.points import PointVoxels
from deep3dmap.backbones.sparse.voxels import SparseTensor

#: Of the 64-bit FNV-1a hash, as signed numbers.
OFFSET, PRIME = 14695981039346656037 - 2**64, 1099511628211


def torchsparse_hash(coords: Int[Tensor, "n 4"]) -> Int[Tensor, "n"]:
    """The hash by which torchsparse 1.0 to 1.4 orders voxels: FNV-1a over x, y, z and batch, folded to 60 bits."""
    value = torch.full_like(coords[:, 0], OFFSET, dtype=torch.int64)
    for number in coords.long().unbind(1):
        value = (value ^ (number & 0xFFFFFFFF)) * PRIME  # products wrap around like unsigned ones
    return (value >> 60 & 0xF) ^ (value & 2**60 - 1)


class PointConv(nn.Module):
    """A convolution of the voxels around points, plus a linear layer of the points.

    Args:
        in_channels, out_channels: numbers of channels.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.net = SparseConv3d(in_channels, out_channels)
        self.point_transforms = nn.Sequential(nn.Linear(in_channels, out_channels))

    def forward(self, features: Float[Tensor, "n c"], points: PointVoxels,
                misplaced: PointVoxels | None = None) -> Float[Tensor, "n d"]:  # yapf: disable
        """The features of the points after the layer.

        Args:
            features: of the points.
            points: their voxels.
            misplaced: other voxels of the same points, in which the convolution takes place.
        """
        y = self.net((misplaced or points).pool(features))
        y = _misread(y, points) if misplaced else y
        return points.interpolate(y) + self.point_transforms(features)


def _misread(y: SparseTensor, points: PointVoxels) -> SparseTensor:
    """The features of voxels with the same number by hash; 0 where the published code reads beyond the end."""
    order, other = (torchsparse_hash(voxels.coords()).argsort() for voxels in (points.voxels, y.voxels))
    features = functional.pad(y.features[other[:len(order)]], (0, 0, 0, max(len(order) - len(other), 0)))
    return SparseTensor(features[order.argsort()], points.voxels)


class ConvGRU(nn.Module):
    """A gated recurrent unit of sparse convolutions; parameters are named as in the published checkpoints.

    Args:
        hidden: channels of what is remembered.
        inputs: channels of the observation.
        variant: of the reset gate, see the module.
    """

    def __init__(self, hidden: int, inputs: int, variant: Literal["published", "clean"] = "published"):
        super().__init__()
        self.variant = variant
        self.convz, self.convr, self.convq = (PointConv(hidden + inputs, hidden) for _ in range(3))

    def forward(self, h: Float[Tensor, "n hidden"], x: Float[Tensor, "n inputs"], points: Float[Tensor, "n 4"],
                resolution: float) -> Float[Tensor, "n hidden"]:  # yapf: disable
        """The updated memory.

        Args:
            h: the memory at the points.
            x: the observation there.
            points: x, y, z and the number of the scene.
            resolution: edge length of a voxel, in the points' unit.
        """
        around, hx = PointVoxels(points, resolution), torch.cat([h, x], 1)
        misplaced = PointVoxels(around.coords, resolution) if self.variant == "published" else None
        z = self.convz(hx, around).sigmoid()
        r = self.convr(hx, around, misplaced).sigmoid()
        q = self.convq(torch.cat([r * h, x], 1), around).tanh()
        return (1 - z) * h + z * q
