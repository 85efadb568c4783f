"""Convolutions of occupied voxels (Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks",
CVPR 2018), with normalisation and activation of their features.

For each offset of the kernel, the features of the voxels that have a neighbour there are gathered, multiplied by the offset's
matrix and added to the neighbours' sums. Where most voxels have most neighbours, it is faster to gather all of a voxel's
neighbours, zeros for missing ones, and to multiply them with the whole kernel at once.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from deep3dmap.annotations import Count
from deep3dmap.backbones.sparse.voxels import MARGIN, KernelMap, SparseTensor, wide
from deep3dmap.errors import ConfigError

#: Maximum number of gathered features at a time, so that they stay in the cache.
GATHERED = 2**20


def _gathered(x: Tensor, table: Tensor) -> Iterator[Tensor]:
    """The inputs of a few outputs at a time: (m, offsets * c)."""
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    for rows in table.split(max(GATHERED // (table.shape[1] * x.shape[1]), 1)):
        yield padded.index_select(0, rows.flatten()).view(len(rows), table.shape[1] * x.shape[1])


def _products(x: Tensor, kernel: Tensor, connected: KernelMap) -> Tensor:
    """The convolution: one product with the whole kernel where most neighbours are there, otherwise one for each offset."""
    if connected.table is not None:
        return wide(torch.cat([columns @ kernel.flatten(0, 1) for columns in _gathered(x, connected.table)]))
    out = wide(x.new_zeros(connected.outputs, kernel.shape[2]))
    for matrix, (inputs, outputs) in zip(kernel, connected.pairs):
        out.index_add_(0, outputs, (x.index_select(0, inputs) @ matrix).to(out.dtype))
    return out


def _input_gradient(grad: Tensor, kernel: Tensor, connected: KernelMap) -> Tensor:
    if connected.symmetric:  # its table serves again, with opposite offsets
        return _products(grad, kernel.flip(0).transpose(1, 2), connected)
    return _products(grad, kernel.transpose(1, 2), connected.swapped)


def _kernel_gradient(x: Tensor, grad: Tensor, connected: KernelMap) -> Tensor:
    if connected.table is not None:
        total, begin = 0, 0
        for columns in _gathered(x, connected.table):
            total = total + wide(columns.t() @ grad[begin:begin + len(columns)])
            begin += len(columns)
        return total.view(len(connected.pairs), x.shape[1], -1)
    return torch.stack([x.index_select(0, i).t() @ grad.index_select(0, o) for i, o in connected.pairs])


class _Convolve(torch.autograd.Function):
    """Gathers again in the backward pass what it would take 27 times the features' memory to keep."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, connected: KernelMap) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.connected = connected
        return _products(x, kernel, connected)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (x, kernel), connected = ctx.saved_tensors, ctx.connected
        grad = grad.to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            grad_x = _input_gradient(grad, kernel, connected).to(x.dtype) if ctx.needs_input_grad[0] else None
            grad_kernel = _kernel_gradient(x, grad, connected).to(x.dtype) if ctx.needs_input_grad[1] else None
        return grad_x, grad_kernel, None


def convolve(x: Float[Tensor, "n c"], kernel: Float[Tensor, "k c d"], connected: KernelMap) -> Float[Tensor, "m d"]:
    """Each output's sum of products of its inputs with the kernel's matrices.

    In mixed precision the products are computed in its type and summed in float32.

    Args:
        x: features of the inputs.
        kernel: a matrix for each offset.
        connected: the voxels that each offset connects.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x, kernel = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (x, kernel))
    with torch.autocast(device, enabled=False):
        return _Convolve.apply(x, kernel, connected)


class SparseConv3d(nn.Module):
    """A convolution without bias. Where its stride is 1, outputs are the occupied voxels (submanifold convolution).

    With a stride, outputs are the coarser voxels that hold an occupied one; transposed, they are the finer voxels that the
    coarser ones came from.

    Args:
        in_channels, out_channels: numbers of channels.
        kernel_size: number of voxels along an edge.
        stride: factor between the strides of inputs and outputs.
        transposed: whether outputs are finer than inputs.

    Attributes:
        kernel: (kernel_size³, in_channels, out_channels), or (in_channels, out_channels) where the kernel is one voxel.

    Raises:
        ConfigError: for a larger kernel than 7.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: Count = 3,
                 stride: Count = 1,
                 transposed: bool = False):
        super().__init__()
        if kernel_size >= MARGIN:
            raise ConfigError(f"SparseConv3d: kernel_size={kernel_size} must be less than {MARGIN}")
        self.kernel_size, self.stride, self.transposed = kernel_size, stride, transposed
        bound = (in_channels * kernel_size**3 / (stride**3 if transposed else 1))**-0.5
        shape = (in_channels, out_channels) if kernel_size == stride == 1 else (kernel_size**3, in_channels, out_channels)
        self.kernel = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The features after the convolution.

        Raises:
            ConfigError: if a transposed convolution's outputs would be finer than the set's voxels.
        """
        if self.kernel.ndim == 2:
            return x.with_features(x.features @ self.kernel)
        if self.transposed and x.stride % self.stride:
            raise ConfigError(f"SparseConv3d: stride={self.stride} leads below the finest voxels, from stride {x.stride}")
        stride = x.stride // self.stride if self.transposed else x.stride * self.stride
        connected = x.voxels.kernel_map(self.kernel_size, *sorted((x.stride, stride)))
        features = convolve(x.features, self.kernel, connected.swapped if self.transposed else connected)
        return SparseTensor(features, x.voxels, stride)


class SparseBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the occupied voxels of all scenes. A single voxel, which has no variance, is normalised by the
    running mean and variance also in training."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The normalised features."""
        if len(x.features) > 1 or not self.training:
            return x.with_features(super().forward(x.features))
        running = self.running_mean, self.running_var, self.weight, self.bias
        return x.with_features(functional.batch_norm(x.features, *running, eps=self.eps))


class SparseReLU(nn.Module):
    """ReLU of each feature."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The features, negative ones replaced by 0."""
        return x.with_features(x.features.relu())
