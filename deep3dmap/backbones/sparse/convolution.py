"""Convolutions of occupied voxels (Graham et al., "3D Semantic Segmentation with Submanifold Sparse Convolutional Networks",
CVPR 2018), with normalisation and activation of their features.

For each offset of the kernel, the features of the voxels that have a neighbour there are gathered, multiplied by the offset's
matrix and added to the neighbours' sums.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from deep3dmap.annotations import Count
from deep3dmap.backbones.sparse.voxels import MARGIN, KernelMap, SparseTensor
from deep3dmap.errors import ConfigError


def _swapped(pairs: KernelMap) -> KernelMap:
    """The same connections from outputs to inputs."""
    return tuple(pair and pair[::-1] for pair in pairs)


def _multiply(x: Tensor, kernel: Tensor, pairs: KernelMap, count: int) -> Tensor:
    """The convolution, summed in float32 at least: 27 roundings to bfloat16 would add up."""
    out = x.new_zeros(count, kernel.shape[2], dtype=torch.promote_types(x.dtype, torch.float32))
    for matrix, pair in zip(kernel, pairs):
        if pair is None:
            out += x @ matrix
        elif len(pair[0]):
            out.index_add_(0, pair[1], (x.index_select(0, pair[0]) @ matrix).to(out.dtype))
    return out


class _Convolve(torch.autograd.Function):
    """Gathers again in the backward pass what it would take 27 times the features' memory to keep."""

    @staticmethod
    def forward(ctx, x: Tensor, kernel: Tensor, pairs: KernelMap, count: int) -> Tensor:
        ctx.save_for_backward(x, kernel)
        ctx.pairs = pairs
        return _multiply(x, kernel, pairs, count)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        (x, kernel), grad_x, grad_kernel = ctx.saved_tensors, None, None
        grad = grad.to(x.dtype)
        if ctx.needs_input_grad[0]:
            grad_x = _multiply(grad, kernel.transpose(1, 2), _swapped(ctx.pairs), len(x)).to(x.dtype)
        if ctx.needs_input_grad[1]:
            grad_kernel = torch.empty_like(kernel)
            for matrix, pair in zip(grad_kernel, ctx.pairs):
                gathered = (x, grad) if pair is None else (x.index_select(0, pair[0]), grad.index_select(0, pair[1]))
                torch.mm(gathered[0].t(), gathered[1], out=matrix)
        return grad_x, grad_kernel, None, None


def convolve(x: Float[Tensor, "n c"], kernel: Float[Tensor, "k c d"], pairs: KernelMap, count: int) -> Float[Tensor, "m d"]:
    """Each output's sum of products of its inputs with the kernel's matrices.

    In mixed precision the products are computed in its type and summed in float32.

    Args:
        x: features of the inputs.
        kernel: a matrix for each offset.
        pairs: a :meth:`VoxelSet.kernel_map`.
        count: number of outputs.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x, kernel = (tensor.to(torch.get_autocast_dtype(device)) for tensor in (x, kernel))
    with torch.autocast(device, enabled=False):
        return _Convolve.apply(x, kernel, pairs, count)


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
        pairs = x.voxels.kernel_map(self.kernel_size, *sorted((x.stride, stride)))
        pairs = _swapped(pairs) if self.transposed else pairs
        features = convolve(x.features, self.kernel, pairs, len(x.voxels.level(stride)))
        return SparseTensor(features, x.voxels, stride)


class SparseBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the occupied voxels of all scenes."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The normalised features."""
        return x.with_features(super().forward(x.features))


class SparseReLU(nn.Module):
    """ReLU of each feature."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """The features, negative ones replaced by 0."""
        return x.with_features(x.features.relu())
