"""The networks of GAN2Shape (Pan et al., "Do 2D GANs Know 3D Shape?", ICLR 2021, appendix), most of them by Wu, Rupprecht and
Vedaldi, "Unsupervised Learning of Probably Symmetric Deformable 3D Objects from Images in the Wild", CVPR 2020.

All halve the picture until 4x4 pixels are left, and double the channels as often. Parameters are named as in the published
checkpoints: ``network.N`` counts the layers, activations included.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.annotations import Count
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES


def halvings(size: int) -> int:
    """How often pictures are halved until 4x4 pixels are left.

    Raises:
        ConfigError: if they aren't square pictures of 16, 32, ... pixels.
    """
    if size < 16 or size & (size - 1):
        raise ConfigError(f"size={size}: GAN2Shape's networks take pictures of 16, 32, 64, 128, ... pixels along a side")
    return int(math.log2(size)) - 2


def _conv(inputs: int, outputs: int, kernel_size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False)


def _half(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False)


def _to_vector(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 4, bias=False)


@BACKBONES.register_module()
class ImageAutoencoder(nn.Module):
    """Makes one picture of another by way of a code: the canonical depth or albedo of what it shows.

    Args:
        outputs: channels of the result: 1 of depth, 3 of albedo.
        size: pixels along a side, 16, 32, 64, ...
        width: channels at half the size.
        code: length of the code.
        group: channels of a group of the normalisations.
        tanh: whether results are limited to -1 to 1.

    Raises:
        ConfigError: if the size is none, or groups don't divide the channels.
    """

    def __init__(self,
                 outputs: Count,
                 size: Count = 64,
                 width: Count = 64,
                 code: Count = 256,
                 group: Count = 4,
                 tanh: bool = True):
        super().__init__()
        if width % group:
            raise ConfigError(f"width={width}, group={group}: the channels must be a multiple of a group's")
        self.group, widths = group, [width * 2**k for k in range(halvings(size))]
        layers = [*self._encoder(widths, code), *self._decoder(widths, code), *self._head(width, outputs)]
        self.network = nn.Sequential(*layers, *[nn.Tanh()] * tanh)

    def _norm(self, channels: int) -> nn.GroupNorm:
        return nn.GroupNorm(channels // self.group, channels)

    def _encoder(self, widths: list[int], code: int) -> Iterator[nn.Module]:
        for before, here in zip([3, *widths], widths):
            yield _half(before, here)
            if here != widths[-1]:
                yield self._norm(here)
            yield nn.LeakyReLU(0.2, inplace=True)
        yield from (_to_vector(widths[-1], code), nn.ReLU(inplace=True))

    def _decoder(self, widths: list[int], code: int) -> Iterator[nn.Module]:
        last = widths[-1]
        yield from (nn.ConvTranspose2d(code, last, 4, bias=False), nn.ReLU(inplace=True))
        yield from (_conv(last, last), nn.ReLU(inplace=True))
        for before, here in zip(widths[:0:-1], widths[-2::-1]):
            yield nn.ConvTranspose2d(before, here, 4, stride=2, padding=1, bias=False)
            yield from (self._norm(here), nn.ReLU(inplace=True))
            yield from (_conv(here, here), self._norm(here), nn.ReLU(inplace=True))

    def _head(self, width: int, outputs: int) -> Iterator[nn.Module]:
        yield nn.Upsample(scale_factor=2, mode="nearest")
        yield from (_conv(width, width), self._norm(width), nn.ReLU(inplace=True))
        yield from (_conv(width, width, 5), self._norm(width), nn.ReLU(inplace=True))
        yield _conv(width, outputs, 5)

    def forward(self, images: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n o size size"]:
        """The results for pictures in [-1, 1]."""
        return self.network(images)


@BACKBONES.register_module()
class ImageEncoder(nn.Module):
    """A few numbers in [-1, 1] for each picture: its view or its light.

    Args:
        outputs: how many numbers.
        size: pixels along a side, 16, 32, 64, ...
        width: channels at half the size.

    Raises:
        ConfigError: if the size is none.
    """

    def __init__(self, outputs: Count, size: Count = 64, width: Count = 64):
        super().__init__()
        widths = [width * 2**k for k in range(halvings(size))]
        layers = [_half(before, here) for before, here in zip([3, *widths], widths)]
        layers += [_to_vector(widths[-1], widths[-1])]
        active = [part for layer in layers for part in (layer, nn.ReLU(inplace=True))]
        self.network = nn.Sequential(*active, _conv(widths[-1], outputs, 1), nn.Tanh())

    def forward(self, images: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n o"]:
        """The numbers for pictures in [-1, 1]."""
        return self.network(images).flatten(1)


class ResidualHalving(nn.Module):
    """Two convolutions to half the size, beside the average of 2x2 pixels.

    The shortcut gets the rectified input, too, since the published code rectifies in place.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.conv2 = _conv(outputs, outputs)
        self.conv_sc = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """The features at half the size."""
        x = torch.relu(x)
        return self.conv_sc(functional.avg_pool2d(x, 2)) + self.conv2(torch.relu(self.conv1(x)))


@BACKBONES.register_module()
class ResidualEncoder(nn.Module):
    """A vector for each picture: an offset of a GAN's latent.

    Args:
        outputs: length of the vector.
        size: pixels along a side, 16, 32, 64, ...
        width: channels at half the size.

    Raises:
        ConfigError: if the size is none.
    """

    def __init__(self, outputs: Count = 512, size: Count = 64, width: Count = 32):
        super().__init__()
        widths = [width * 2**k for k in range(halvings(size))]
        blocks = [ResidualHalving(*pair) for pair in zip(widths, widths[1:])]
        head = [nn.ReLU(inplace=True), _to_vector(widths[-1], 2 * widths[-1])]
        head += [nn.ReLU(inplace=True), _conv(2 * widths[-1], outputs, 1)]
        self.network = nn.Sequential(_half(3, width), *blocks, *head)

    def forward(self, images: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n o"]:
        """The vectors for pictures in [-1, 1]."""
        return self.network(images).flatten(1)
