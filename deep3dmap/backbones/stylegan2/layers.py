"""Layers of StyleGAN2 (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, section 2).

Weights are stored with unit variance and scaled when they are used, so that all learn at the same rate. Parameters are named
as in the widely used PyTorch port, whose checkpoints load.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.backbones.stylegan2.resampling import blur_after_upsampling, blur_before_downsampling, upsampling

SLOPE, GAIN, EPSILON = 0.2, math.sqrt(2), 1e-8


def leaky_relu(x: Float[Tensor, "b c *n"], bias: Float[Tensor, " c"] | None = None) -> Float[Tensor, "b c *n"]:
    """Leaky ReLU of slope 0.2 after a bias, times sqrt(2), which keeps the variance."""
    if bias is not None:
        x = x + bias.view(-1, *[1] * (x.ndim - 2))
    return functional.leaky_relu(x, SLOPE) * GAIN


class BiasedLeakyReLU(nn.Module):
    """:func:`leaky_relu` with a bias for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
        """The activation."""
        return leaky_relu(x, self.bias)


class PixelNorm(nn.Module):
    """Divides by the root mean square over the channels."""

    def forward(self, x: Float[Tensor, "b c *n"]) -> Float[Tensor, "b c *n"]:
        """The normalised features."""
        return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class EqualLinear(nn.Module):
    """A linear layer.

    Args:
        inputs, outputs: numbers of channels.
        bias: initial value of the bias.
        rate: factor of its learning rate; stored weights are as many times larger.
        activate: whether :func:`leaky_relu` follows.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs, ), float(bias)))
        self.scale, self.rate, self.activate = rate / math.sqrt(inputs), rate, activate

    def forward(self, x: Float[Tensor, "b i"]) -> Float[Tensor, "b o"]:
        """The outputs."""
        bias = self.bias * self.rate
        if self.activate:
            return leaky_relu(functional.linear(x, self.weight * self.scale), bias)
        return functional.linear(x, self.weight * self.scale, bias)


class EqualConv2d(nn.Module):
    """A convolution.

    Args:
        inputs, outputs: numbers of channels.
        kernel_size, stride, padding: of the convolution.
        bias: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, padding: int = 0, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.stride, self.padding = 1 / math.sqrt(inputs * kernel_size**2), stride, padding

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        """The outputs."""
        return functional.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class ModulatedConv2d(nn.Module):
    """A convolution whose input channels are scaled by a style, and whose output channels have unit variance again.

    Scaling inputs and outputs is the same as scaling each sample's weights (equations 1 to 3 of the paper), but needs no
    convolution of its own for each sample.

    Args:
        inputs, outputs: numbers of channels.
        kernel_size: of the convolution.
        style: channels of the style.
        demodulate: whether outputs are normalised.
        up, down: whether outputs are twice or half as large.
    """

    def __init__(self,
                 inputs: int,
                 outputs: int,
                 kernel_size: int,
                 style: int,
                 demodulate: bool = True,
                 up: bool = False,
                 down: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel_size, kernel_size))
        self.modulation = EqualLinear(style, inputs, bias=1.0)
        self.scale, self.demodulate, self.up, self.down = 1 / math.sqrt(inputs * kernel_size**2), demodulate, up, down
        if up:
            self.blur = blur_after_upsampling(kernel_size)
        elif down:
            self.blur = blur_before_downsampling(kernel_size)

    def forward(self, x: Float[Tensor, "b i h w"], style: Float[Tensor, "b s"]) -> Float[Tensor, "b o j k"]:
        """The outputs."""
        weight, scales = self.weight[0] * self.scale, self.modulation(style)
        x = x * scales[:, :, None, None]
        if self.up:
            x = self.blur(functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        elif self.down:
            x = functional.conv2d(self.blur(x), weight, stride=2)
        else:
            x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
        if self.demodulate:
            variance = functional.linear(scales.square(), weight.square().sum((2, 3)))
            x = x * (variance + EPSILON).rsqrt()[:, :, None, None]
        return x


class NoiseInjection(nn.Module):
    """Adds a picture of noise, the same for all channels, by a learned weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "#b 1 h w"] | None) -> Float[Tensor, "b c h w"]:
        """The sum; without ``noise``, with random one of each sample."""
        if noise is None:
            noise = torch.randn(len(x), 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        return x + self.weight * noise


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise, and activation.

    Args:
        inputs, outputs, style, up: see :class:`ModulatedConv2d`.
    """

    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, up=up)
        self.noise = NoiseInjection()
        self.activate = BiasedLeakyReLU(outputs)

    def forward(self, x: Float[Tensor, "b i h w"], style: Float[Tensor, "b s"],
                noise: Float[Tensor, "#b 1 j k"] | None = None) -> Float[Tensor, "b o j k"]:  # yapf: disable
        """The features."""
        return self.activate(self.noise(self.conv(x, style), noise))


class ToRGB(nn.Module):
    """The picture that features stand for, added to that of the resolution before.

    Args:
        inputs: channels of the features.
        style: channels of the style.
        up: whether there is a picture before, half as large.
    """

    def __init__(self, inputs: int, style: int, up: bool = True):
        super().__init__()
        if up:
            self.upsample = upsampling()
        self.conv = ModulatedConv2d(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Float[Tensor, "b i h w"], style: Float[Tensor, "b s"],
                before: Float[Tensor, "b 3 j k"] | None = None) -> Float[Tensor, "b 3 h w"]:  # yapf: disable
        """The picture."""
        picture = self.conv(x, style) + self.bias
        return picture if before is None else picture + self.upsample(before)
