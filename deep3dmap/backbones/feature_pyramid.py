"""What NeuralRecon's 2D networks have in common: inverted residuals, and a feature pyramid on three of their stages.

Inverted residuals: Sandler et al., "MobileNetV2", CVPR 2018. Pyramid: Lin et al., "Feature Pyramid Networks", CVPR 2017, with
the layers and names of NeuralRecon's published weights.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.errors import ConfigError

#: Channels of the features at strides 4, 8 and 16.
CHANNELS = (24, 40, 80)
STRIDE = 16
#: Pixels of pictures that are evaluated at a time on a CPU, so that what is between the layers stays in its cache.
PIXELS = 2**18


class Layers(nn.Sequential):
    """Layers in a row; in evaluation mode convolutions take the norms that follow them into their weights.

    They do so in every call, which costs little beside a picture, so the weights may change in between.
    """

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """The output of the last layer."""
        layers = list(self)
        while layers:
            layer, norm = layers[0], layers[1] if len(layers) > 1 else None
            fold = isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and not norm.training
            x = folded(layer, norm, x) if fold else layer(x)
            layers = layers[2 if fold else 1:]
        return x


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
    """A convolution without bias, and its norm in evaluation mode, as one convolution."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    return conv._conv_forward(x, conv.weight * scale[:, None, None, None], bias)


class EvenConv2d(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding of pictures of even size: the surplus zeros after the last pixel."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        total = self.kernel_size[0] - 2
        padded = functional.pad(x, (total // 2, total - total // 2) * 2)
        return functional.conv2d(padded, weight, bias, 2, 0, 1, self.groups)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, even: bool = False) -> nn.Conv2d:
    """A convolution without bias; ``even``: stride 2 is padded as by TensorFlow."""
    kind, padding = (EvenConv2d, 0) if even and stride == 2 else (nn.Conv2d, kernel // 2)
    layer = kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return layer


def separable(inputs: int, outputs: int, kernel: int, stride: int, norm: Callable, activation: Callable,
              even: bool = False) -> list[nn.Module]:  # yapf: disable
    """A convolution of each channel, then one of all channels at each pixel, which stays linear."""
    return [
        convolution(inputs, inputs, kernel, stride, inputs, even), norm(inputs), activation(inplace=True),
        convolution(inputs, outputs, 1), norm(outputs)
    ]  # yapf: disable


class InvertedResidual(nn.Module):
    """More channels, a convolution of each, fewer channels; plus the input, if it has the output's shape.

    Args:
        inputs, outputs: channels.
        kernel, stride: of the convolution of each channel.
        expansion: factor between the input's channels and the inner ones.
        norm: of each layer: from channels to a module.
        activation: class of the modules after the first two norms.
        even: see :func:`convolution`.
    """

    def __init__(self,
                 inputs: int,
                 outputs: int,
                 kernel: int,
                 stride: int,
                 expansion: int,
                 norm: Callable,
                 activation: Callable,
                 even: bool = False):
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.layers = Layers(convolution(inputs, inner, 1), norm(inner), activation(inplace=True),
                             *separable(inner, outputs, kernel, stride, norm, activation, even))  # yapf: disable

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """The block's output."""
        out = self.layers(x)
        return out.add_(x) if self.residual else out


def stage(inputs: int, outputs: int, kernel: int, expansion: int, blocks: int, norm: Callable, activation: Callable,
          even: bool = False) -> nn.Sequential:  # yapf: disable
    """Inverted residuals, the first of which halves the picture."""
    options = dict(norm=norm, activation=activation, even=even)
    return nn.Sequential(*(InvertedResidual(outputs if k else inputs, outputs, kernel, 1 if k else 2, expansion, **options)
                           for k in range(blocks)))


class FeaturePyramid(nn.Module):
    """Features at strides 4, 8 and 16 with 24, 40 and 80 channels, each of which also knows the coarser ones.

    Args:
        conv0, conv1, conv2: stages with these strides and channels.
        mean, deviation: by which pictures in [0, 255] are normalised, one number a channel.
    """

    def __init__(self, conv0: nn.Module, conv1: nn.Module, conv2: nn.Module, mean: Sequence[float],
                 deviation: Sequence[float]):
        super().__init__()
        self.conv0, self.conv1, self.conv2 = conv0, conv1, conv2
        fine, middle, coarse = CHANNELS
        self.out1 = nn.Conv2d(coarse, coarse, 1, bias=False)
        self.inner1, self.inner2 = nn.Conv2d(middle, coarse, 1), nn.Conv2d(fine, coarse, 1)
        self.out2 = nn.Conv2d(coarse, middle, 3, padding=1, bias=False)
        self.out3 = nn.Conv2d(coarse, fine, 3, padding=1, bias=False)
        for name, values in dict(mean=mean, deviation=deviation).items():
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c i j"]]:
        """The features of each picture, fine to coarse.

        Args:
            images: RGB in [0, 255].

        Raises:
            ConfigError: if the pictures' sides are not multiples of 16 pixels.
        """
        if images.shape[2] % STRIDE or images.shape[3] % STRIDE:
            raise ConfigError(
                f"{type(self).__name__}: pictures of {images.shape[3]}x{images.shape[2]} pixels: both sides must "
                f"be multiples of {STRIDE}")
        if self.training or images.device.type != "cpu":
            return self._features(images)
        chunks = images.split(max(PIXELS // images[0, 0].numel(), 1))
        return [torch.cat(parts) for parts in zip(*map(self._features, chunks))]

    def _features(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c i j"]]:
        normalized = (images - self.mean) / self.deviation
        fine = self.conv0(normalized.contiguous(memory_format=torch.channels_last))
        middle = self.conv1(fine)
        coarse = self.conv2(middle)
        merged = functional.interpolate(coarse, scale_factor=2.0) + self.inner1(middle)
        finest = functional.interpolate(merged, scale_factor=2.0) + self.inner2(fine)
        return [self.out3(finest), self.out2(merged), self.out1(coarse)]
