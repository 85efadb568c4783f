"""StyleGAN2's generator (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).

A mapping network turns random vectors z into styles w. The synthesis network grows a picture from a learned constant; each of
its layers has a style of its own, all of which together are called W+.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Count, Positive
from deep3dmap.backbones.stylegan2.layers import EqualLinear, PixelNorm, StyledConv, ToRGB
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

#: Channels at 4 to 32 pixels, and times pixels above that, of the published networks of multiplier 1.
WIDEST, AREA = 512, 64 * 256
MAPPING_RATE = 0.01

Noise = Sequence[Tensor | None] | None


def channels_of(size: int, multiplier: float = 2.0, width: float = 1.0) -> dict[int, int]:
    """Channels by resolution from 4 pixels to ``size``, of both networks.

    Args:
        size: of pictures, a power of two.
        multiplier: of the channels at 64 pixels and more; 1 or 2 in published networks.
        width: factor of all channels.

    Raises:
        ConfigError: if the size is none.
    """
    if size < 8 or size & (size - 1):
        raise ConfigError(f"size={size}: StyleGAN2's pictures have 8, 16, 32, ... pixels")
    steps = [2**k for k in range(2, int(math.log2(size)) + 1)]
    return {step: max(round(width * (WIDEST if step <= 32 else multiplier * AREA / step)), 1) for step in steps}


class _Constant(nn.Module):
    """The learned picture of 4x4 pixels that synthesis starts with."""

    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


@BACKBONES.register_module()
class StyleGenerator(nn.Module):
    """StyleGAN2's generator.

    Args:
        size: of pictures, a power of two.
        style: channels of z and w.
        mapping: layers of the mapping network.
        multiplier: of the channels at 64 pixels and more, see :func:`channels_of`.
        width: factor of all channels.

    Attributes:
        layers: number of styles in W+.
        noises: registered pictures of noise, ``noise_0`` (1, 1, 4, 4) and so on, for pictures that don't change.
    """

    def __init__(self,
                 size: int = 256,
                 style: Count = 512,
                 mapping: Count = 8,
                 multiplier: Positive = 2.0,
                 width: Positive = 1.0):
        super().__init__()
        channels = channels_of(size, multiplier, width)
        self.size, self.layers = size, 2 * len(channels)
        layers = (EqualLinear(style, style, rate=MAPPING_RATE, activate=True) for _ in range(mapping))
        self.style = nn.Sequential(PixelNorm(), *layers)
        self.input = _Constant(channels[4])
        self.conv1, self.to_rgb1 = StyledConv(channels[4], channels[4], style), ToRGB(channels[4], style, up=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        for before, here in pairwise(channels.values()):
            self.convs.extend([StyledConv(before, here, style, up=True), StyledConv(here, here, style)])
            self.to_rgbs.append(ToRGB(here, style))
        for layer in range(self.layers - 1):
            side = 2**((layer + 5) // 2)
            self.noises.register_buffer(f"noise_{layer}", torch.randn(1, 1, side, side))

    @property
    def style_size(self) -> int:
        """Channels of z and w."""
        return self.to_rgb1.conv.modulation.weight.shape[1]

    @property
    def registered_noise(self) -> list[Float[Tensor, "1 1 h w"]]:
        """The noise of each layer that is saved with the weights."""
        return [getattr(self.noises, f"noise_{layer}") for layer in range(self.layers - 1)]

    def forward(self, latents: Float[Tensor, "b layers s"], noise: Noise = None) -> Float[Tensor, "b 3 size size"]:
        """The pictures of styles, about -1 to 1.

        Args:
            latents: W+, see :meth:`w_plus`.
            noise: of each layer, (1, 1, h, w) or (b, 1, h, w); None, here or for a layer: fresh for each sample.
        """
        noise = noise or [None] * (self.layers - 1)
        x = self.conv1(self.input.input.expand(len(latents), -1, -1, -1), latents[:, 0], noise[0])
        picture = self.to_rgb1(x, latents[:, 1])
        for k, to_rgb in enumerate(self.to_rgbs):
            for layer in (2 * k, 2 * k + 1):
                x = self.convs[layer](x, latents[:, layer + 1], noise[layer + 1])
            picture = to_rgb(x, latents[:, 2 * k + 3], picture)
        return picture

    def w_plus(self, w: Float[Tensor, "b s"], other: Float[Tensor, "b s"] | None = None,
               first: int = 0) -> Float[Tensor, "b layers s"]:  # yapf: disable
        """The styles of all layers: ``w``; from layer ``first`` on ``other`` (style mixing)."""
        styles = w[:, None].expand(-1, self.layers, -1)
        if other is None:
            return styles
        return torch.cat([styles[:, :first], other[:, None].expand(-1, self.layers - first, -1)], 1)

    @torch.no_grad()
    def mean_style(self, count: int = 4096, seed: int = 0) -> Float[Tensor, "1 s"]:
        """The mean w of random z, towards which styles are truncated.

        Args:
            count: number of z.
            seed: of their draw.
        """
        z = torch.randn(count, self.style_size, generator=torch.Generator().manual_seed(seed))
        return self.style(z.to(self.input.input)).mean(0, keepdim=True)


def truncated(w: Float[Tensor, "b s"], mean: Float[Tensor, "1 s"], share: float) -> Float[Tensor, "b s"]:
    """Styles nearer to their mean: less varied, better pictures (Karras et al., CVPR 2019, appendix B)."""
    return mean + share * (w - mean)
