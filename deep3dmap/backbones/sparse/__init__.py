"""Sparse 3D convolutions in plain torch: only occupied voxels are stored and computed."""

from deep3dmap.backbones.sparse.convolution import SparseBatchNorm, SparseConv3d, SparseReLU
from deep3dmap.backbones.sparse.gru import ConvGRU
from deep3dmap.backbones.sparse.points import PointVoxels
from deep3dmap.backbones.sparse.unet import SPVCNN, SparseUNet
from deep3dmap.backbones.sparse.voxels import SparseTensor, VoxelSet

__all__ = [
    "SPVCNN", "ConvGRU", "PointVoxels", "SparseBatchNorm", "SparseConv3d", "SparseReLU", "SparseTensor", "SparseUNet",
    "VoxelSet"
]
