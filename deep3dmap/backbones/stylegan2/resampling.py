"""Resampling of pictures as StyleGAN2 does (Karras et al., CVPR 2020): zeros between the samples, a finite impulse response
filter, and every n-th sample of the result.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

#: The filter of the published networks, along one axis.
TAPS = (1, 3, 3, 1)


def filter_kernel(taps: Sequence[float] = TAPS, gain: float = 1.0) -> Float[Tensor, "k k"]:
    """The outer product of a filter with itself, whose sum is ``gain``."""
    line = torch.tensor(taps, dtype=torch.float32)
    return gain * line.outer(line) / line.sum()**2


def upfirdn(x: Float[Tensor, "b c h w"],
            kernel: Float[Tensor, "k l"],
            up: tuple[int, int] = (1, 1),
            down: tuple[int, int] = (1, 1),
            pad: tuple[int, int, int, int] = (0, 0, 0, 0)) -> Float[Tensor, "b c i j"]:  # yapf: disable
    """Pictures with ``up - 1`` zeros after each sample, padded, convolved with the kernel, every ``down``-th sample.

    Args:
        x: pictures.
        kernel: filter; a convolution, so it is applied flipped.
        up: factors along x and y.
        down: the same.
        pad: zeros at the left, right, top and bottom; negative ones crop.
    """
    batch, channels, height, width = x.shape
    if up != (1, 1):
        x = functional.pad(x[:, :, :, None, :, None], (0, up[0] - 1, 0, 0, 0, up[1] - 1))
        x = x.view(batch, channels, height * up[1], width * up[0])
    weight = kernel.flip(0, 1).to(x).expand(channels, 1, *kernel.shape)
    return functional.conv2d(functional.pad(x, pad), weight, stride=down[::-1], groups=channels)


class Filter(nn.Module):
    """Resamples by the same factor along both axes.

    Args:
        pad: zeros before and after each axis.
        up, down: factors.
        taps: of the filter.

    Attributes:
        kernel: the filter; the sum is ``up``².
    """

    def __init__(self,
                 pad: tuple[int, int],
                 up: int = 1,
                 down: int = 1,
                 taps: Sequence[float] = TAPS,
                 gain: float | None = None):
        super().__init__()
        self.up, self.down, self.pad = up, down, pad
        self.register_buffer("kernel", filter_kernel(taps, up**2 if gain is None else gain))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c i j"]:
        """The resampled pictures."""
        return upfirdn(x, self.kernel, (self.up, self.up), (self.down, self.down), self.pad * 2)


def upsampling(taps: Sequence[float] = TAPS) -> Filter:
    """Doubles the size."""
    return Filter((len(taps) // 2, (len(taps) - 1) // 2), up=2, taps=taps)


def downsampling(taps: Sequence[float] = TAPS) -> Filter:
    """Halves the size."""
    return Filter(((len(taps) - 1) // 2, (len(taps) - 2) // 2), down=2, taps=taps)


def blur_after_upsampling(kernel_size: int, taps: Sequence[float] = TAPS) -> Filter:
    """The filter that follows a transposed convolution of stride 2, to exactly twice the size."""
    rest = len(taps) - 2 - (kernel_size - 1)
    return Filter(((rest + 1) // 2 + 1, rest // 2 + 1), taps=taps, gain=4.0)


def blur_before_downsampling(kernel_size: int, taps: Sequence[float] = TAPS) -> Filter:
    """The filter that precedes a convolution of stride 2, to exactly half the size."""
    rest = len(taps) - 2 + kernel_size - 1
    return Filter(((rest + 1) // 2, rest // 2), taps=taps)
