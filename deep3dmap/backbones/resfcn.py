"""PRNet's network: a residual encoder and a decoder of transposed convolutions, from a picture to a position map.

Feng et al., "Joint 3D Face Reconstruction and Dense Alignment with Position Map Regression Network", ECCV 2018, section 3.3.
The authors' TensorFlow graph and a PyTorch port of it exist, which differ in more than their names; see :class:`ResFCN`.

A transposed convolution of stride 1 is an ordinary one with the kernel turned by 180 degrees, and is written as such.
"""

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from mmcv.cnn import ConvModule, build_norm_layer
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from deep3dmap.annotations import Count
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

#: Channels, in multiples of the first layer's, and strides.
ENCODER = ((2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1))
DECODER = ((32, 1), (16, 2), (16, 1), (16, 1), (8, 2), (8, 1), (8, 1), (4, 2), (4, 1), (4, 1), (2, 2), (2, 1), (1, 2), (1, 1))
#: The port's normalisation of pictures: of ImageNet, but of the channels in reverse.
PORT_COLORS = dict(mean=(0.406, 0.456, 0.485), deviation=(0.225, 0.224, 0.229))
#: The resolution is a multiple of the encoder's stride.
STRIDE = 32


class UnevenConv2d(nn.Conv2d):
    """A convolution of stride 1 with an even kernel, which keeps the size of its input.

    Args:
        args, options: as of :class:`torch.nn.Conv2d`.
        ends: rows of zeros before the first and after the last, likewise columns. TensorFlow's "SAME" puts the surplus row
            after the last for convolutions, thus before the first for transposed ones.
    """

    def __init__(self, *args, ends: tuple[int, int], **options):
        super().__init__(*args, **options)
        self.ends = ends

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """The convolution."""
        return super().forward(functional.pad(x, self.ends * 2))


@dataclass(frozen=True)
class _Graph:
    """What the variants differ in.

    Attributes:
        kernel: of layers of stride 1; and of the encoder's of stride 2.
        norm: of every layer's output, followed by ReLU; None for linear layers with biases.
        end_norm: of the sums at the ends of the blocks.
        ends: number of layers with the output's three channels.
    """

    kernel: int
    norm: dict | None
    end_norm: dict
    ends: int = 3

    def layer(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, decoder: bool = False,
              last: bool = False) -> ConvModule:  # yapf: disable
        """A layer that divides or, in the decoder, multiplies the size by its stride; ReLU follows except after the last."""
        conv, padding = None, (kernel - 1) // 2
        if decoder and stride == 2:
            conv, kernel, padding = dict(type=nn.ConvTranspose2d), 4, 1
        elif kernel == 4 and stride == 1:
            conv, padding = dict(type=UnevenConv2d, ends=(2, 1) if decoder else (1, 2)), 0
        activation = dict(type="ReLU") if self.norm and not last else None
        return ConvModule(inputs, outputs, kernel, stride, padding, conv_cfg=conv, norm_cfg=self.norm, act_cfg=activation)


#: Constants of TensorFlow's batch normalisation; the momentum is the new value's share.
_TENSORFLOW_NORM = dict(type="BN", eps=1e-3, momentum=1e-3)
_GRAPHS = dict(official=_Graph(4, _TENSORFLOW_NORM, _TENSORFLOW_NORM),
               compact=_Graph(3, dict(type="BN"), dict(type="BN"), 1),
               port=_Graph(3, None, dict(type="BN")))  # yapf: disable


class ResBlock(nn.Module):
    """Three convolutions with a bottleneck of half the channels, plus a shortcut, then norm and ReLU.

    Args:
        graph: the variant.
        inputs, outputs: channels.
        stride: of the second convolution.
        project: whether the shortcut is a convolution; otherwise it is the identity.
    """

    def __init__(self, graph: _Graph, inputs: int, outputs: int, stride: int, project: bool):
        super().__init__()
        alone = dict(bias=graph.norm is None, act_cfg=None)
        self.conv1 = graph.layer(inputs, outputs // 2)
        self.conv2 = graph.layer(outputs // 2, outputs // 2, graph.kernel, stride)
        self.conv3 = ConvModule(outputs // 2, outputs, 1, **alone)
        self.shortcut = ConvModule(inputs, outputs, 1, **alone) if project else nn.Identity()
        self.norm, self.stride = build_norm_layer(graph.end_norm, outputs)[1], stride

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d i j"]:
        """The block's output."""
        step = self.stride  # not the shortcut's: with a stride its gradient corrupts memory (torch 2.13, CPU, channels-last)
        shortcut = self.shortcut(x[:, :, ::step, ::step])
        return functional.relu(self.norm(self.conv3(self.conv2(self.conv1(x))) + shortcut), inplace=True)


@BACKBONES.register_module()
class ResFCN(nn.Module):
    """Position maps in [0, 1] of pictures of the same size: the published network and two variants.

    ``official`` is the authors' graph: kernels of 4 with TensorFlow's padding, batch normalisation and ReLU after every layer,
    no biases. ``compact`` is the same with kernels of 3 where the size stays or is halved, and one layer of three channels at
    the end instead of three, for half the cost. ``port`` is the PyTorch port's: normalised pictures, kernels of 3, biases
    (except the first layer's), and norm and ReLU at the ends of the blocks only, so that the decoder is linear; a block's
    shortcut is the identity if the *width of its input in pixels* equals its channels, and a convolution otherwise.

    Args:
        size: channels of the first layer; the innermost have 32 times as many.
        resolution: width and height of pictures and maps, a multiple of 32.
        variant: of the graph.

    Raises:
        ConfigError: for another resolution.
    """

    first_stride, encoder_layers, decoder_layers = 1, ENCODER, DECODER

    def __init__(self,
                 size: Count = 16,
                 resolution: Count = 256,
                 variant: Literal["official", "compact", "port"] = "official"):
        super().__init__()
        if resolution % STRIDE:
            raise ConfigError(f"ResFCN: resolution={resolution} must be a multiple of {STRIDE}")
        self.variant, self.resolution = variant, resolution
        graph, width, inputs = _GRAPHS[variant], resolution // self.first_stride, size
        plain = dict(padding=1, bias=False, act_cfg=None)
        encoder = [graph.layer(3, size, graph.kernel, self.first_stride) if graph.norm else ConvModule(3, size, 3, **plain)]
        for factor, stride in self.encoder_layers:
            outputs = factor * size
            project = stride != 1 or inputs != outputs or (variant == "port" and width != outputs)
            encoder.append(ResBlock(graph, inputs, outputs, stride, project))
            width, inputs = width // stride, outputs
        decoder = []
        layers = [(factor * size, stride) for factor, stride in self.decoder_layers] + [(3, 1)] * graph.ends
        for k, (outputs, stride) in enumerate(layers):
            decoder.append(graph.layer(inputs, outputs, graph.kernel, stride, decoder=True, last=k + 1 == len(layers)))
            inputs = outputs
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        if variant == "port":
            for name, values in PORT_COLORS.items():
                self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Float[Tensor, "n 3 r r"]) -> Float[Tensor, "n 3 r r"]:
        """The position map of each picture.

        Args:
            image: RGB in [0, 1].
        """
        return torch.sigmoid(self.layers(image)[1])

    def layers(self, image: Float[Tensor, "n 3 r r"]) -> tuple[Float[Tensor, "n c i i"], Float[Tensor, "n 3 s s"]]:
        """The encoder's output, and the last layer's."""
        x = (image - self.mean) / self.deviation if self.variant == "port" else image
        encoded = self.encoder(x.to(self.encoder[0].conv.weight.dtype, memory_format=torch.channels_last))
        features = self.decoder[:-1](encoded)
        with torch.autocast(features.device.type, enabled=False):  # positions need more digits than bfloat16 has
            return encoded, self.decoder[-1](features.to(image.dtype))

    def fused(self, dtype: torch.dtype = torch.float32) -> "ResFCN":
        """A copy of the current weights for inference only, in which layers include their norms.

        Maps differ from the network's in evaluation mode by rounding.

        Args:
            dtype: of all layers but the last; pictures and maps have float32.
        """
        network = copy.deepcopy(self).eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, ResBlock):
                _fuse_end(module)
            elif isinstance(module, ConvModule) and module.with_norm:
                module.conv = _fuse(module.conv, module.norm)
                module.bn = nn.Identity()
        network.encoder.to(dtype), network.decoder[:-1].to(dtype)
        return network


def _fuse(conv: nn.Module, norm: nn.BatchNorm2d) -> nn.Module:
    return fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, nn.ConvTranspose2d))


def _fuse_end(block: ResBlock) -> None:
    """Include the norm of a block's sum in the summands, if both are convolutions; otherwise it costs as much as a scaling."""
    if isinstance(block.shortcut, ConvModule):
        block.conv3.conv = _fuse(block.conv3.conv, block.norm)
        slope = copy.deepcopy(block.norm)  # the shortcut is scaled, but not shifted again
        slope.running_mean.zero_(), slope.bias.zero_()
        block.shortcut.conv = _fuse(block.shortcut.conv, slope)
        block.norm = nn.Identity()
