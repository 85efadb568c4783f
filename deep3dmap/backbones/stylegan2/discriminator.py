"""StyleGAN2's discriminator (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020)."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.annotations import Positive
from deep3dmap.backbones.stylegan2.generator import channels_of
from deep3dmap.backbones.stylegan2.layers import EPSILON, BiasedLeakyReLU, EqualConv2d, EqualLinear
from deep3dmap.backbones.stylegan2.resampling import blur_before_downsampling
from deep3dmap.errors import DataError
from deep3dmap.registry import BACKBONES

#: Pictures whose features are compared with one another.
GROUP = 4


def _layer(inputs: int, outputs: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(EqualConv2d(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=False),
                         BiasedLeakyReLU(outputs))


def _halving(inputs: int, outputs: int, kernel_size: int) -> list[nn.Module]:
    return [blur_before_downsampling(kernel_size), EqualConv2d(inputs, outputs, kernel_size, stride=2, bias=False)]


class ResidualBlock(nn.Module):
    """Two convolutions to half the size, and a shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = _layer(inputs, inputs, 3)
        self.conv2 = nn.Sequential(*_halving(inputs, outputs, 3), BiasedLeakyReLU(outputs))
        self.skip = nn.Sequential(*_halving(inputs, outputs, 1))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o j k"]:
        """The features at half the size."""
        return (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)


def check_groups(count: int) -> int:
    """The number of pictures in a group of a batch.

    Raises:
        DataError: if the batch can't be divided into groups.
    """
    group = min(count, GROUP)
    if count % group:
        raise DataError(f"StyleGAN2's discriminator compares groups of {GROUP} pictures: a batch must have up to {GROUP} or a "
                        f"multiple of {GROUP}, got {count}; change train_dataloader.batch_size, and set drop_last=True if it "
                        "is the last batch of an epoch")
    return group


def deviation(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
    """The mean standard deviation of features among the pictures of a group: by it too uniform samples are recognised.

    Pictures whose numbers differ by a multiple of a quarter of the batch are a group.

    Raises:
        DataError: if the batch can't be divided into groups of four.
    """
    count, channels, height, width = x.shape
    group = check_groups(count)
    y = x.view(group, -1, channels, height, width).var(0, correction=0).add(EPSILON).sqrt().mean((1, 2, 3))
    return y.repeat(group).view(-1, 1, 1, 1).expand(-1, 1, height, width)


@BACKBONES.register_module()
class StyleDiscriminator(nn.Module):
    """StyleGAN2's discriminator: the logit that a picture is real.

    Args:
        size: of pictures, a power of two.
        multiplier, width: see :func:`~deep3dmap.backbones.stylegan2.generator.channels_of`.
    """

    def __init__(self, size: int = 256, multiplier: Positive = 2.0, width: Positive = 1.0):
        super().__init__()
        channels = list(channels_of(size, multiplier, width).values())[::-1]
        self.size, last = size, channels[-1]
        self.convs = nn.Sequential(_layer(3, channels[0], 1), *(ResidualBlock(*pair) for pair in pairwise(channels)))
        self.final_conv = _layer(last + 1, last, 3)
        self.final_linear = nn.Sequential(EqualLinear(16 * last, last, activate=True), EqualLinear(last, 1))

    def forward(self, images: Float[Tensor, "b 3 size size"]) -> Float[Tensor, "b 1"]:
        """Logits of pictures, about -1 to 1.

        Raises:
            DataError: if they can't be divided into groups, see :func:`deviation`.
        """
        x = self.convs(images)
        x = self.final_conv(torch.cat([x, deviation(x)], 1))
        return self.final_linear(x.flatten(1))

    def features(self, images: Float[Tensor, "b 3 size size"], levels: int = 4) -> list[Float[Tensor, "b c h w"]]:
        """Features after the first residual blocks, at half the size and less: a distance of pictures that suits the GAN."""
        found, x = [], self.convs[0](images)
        for block in self.convs[1:1 + levels]:
            found.append(x := block(x))
        return found
