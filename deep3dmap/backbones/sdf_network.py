"""The implicit surface of IDR: a multi-layer perceptron that maps a point to a signed distance and features.

Yariv et al., "Multiview Neural Surface Reconstruction by Disentangling Geometry and Appearance", NeurIPS 2020, section 3 and
supplementary B.1. The sphere-like start is the geometric initialisation of Atzmon and Lipman, "SAL", CVPR 2020.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.annotations import Count, Whole
from deep3dmap.backbones.encoding import encoded_size, encoding_pullback, fourier_encoding
from deep3dmap.backbones.linear import WeightNormLinear, frozen, hidden_widths, make_linear
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

BETA = 100.0


class _SoftplusAndSlope(torch.autograd.Function):
    """``softplus(z)`` with ``BETA`` and its derivative ``sigmoid(BETA z)``, sharing intermediates for their gradients."""

    @staticmethod
    def forward(ctx, z):
        scaled = z * BETA
        slope = torch.sigmoid(scaled)
        value = functional.logsigmoid(scaled.neg_()).mul_(-1 / BETA)
        ctx.save_for_backward(slope)
        return value, slope

    @staticmethod
    def backward(ctx, by_value, by_slope):
        slope, = ctx.saved_tensors
        return torch.addcmul(by_value, by_slope, 1 - slope, value=BETA) * slope


@dataclass
class _FrozenLayer:
    """A layer split into what acts on the layer below, on the encoded input (first and skip layers), and the bias."""

    hidden: Tensor | None
    encoded: Tensor | None
    bias: Tensor

    def __call__(self, below: Tensor | None, encoded: Tensor) -> Tensor:
        if below is None:
            return torch.addmm(self.bias, encoded, self.encoded)
        out = torch.addmm(self.bias, below, self.hidden)
        return out if self.encoded is None else torch.addmm(out, encoded, self.encoded)


@BACKBONES.register_module()
class SDFNetwork(nn.Module):
    """Signed distance and features of points, with exact gradients.

    Layers are named ``lin0`` ... ``lin{depth}``, so that a published IDR checkpoint loads after removing its prefix
    ``implicit_network.``.

    Args:
        width: of every hidden layer, or a list of widths.
        depth: number of hidden layers.
        skip: layers that take the encoded input again.
        frequencies: octaves of the points' Fourier encoding; 0 for none.
        features: size of the feature vector handed to the radiance network.
        bias: radius of the sphere of the geometric initialisation, scene units.
        weight_norm: normalise the layers' weights.
        geometric_init: initialise as approximately a sphere; otherwise like ``nn.Linear``.

    Raises:
        ConfigError: if a skip names no layer, a width is too small for the encoded input, or a list of widths doesn't
            match ``depth``.
    """

    def __init__(self,
                 width: Count | Sequence[Count] = 512,
                 depth: Count = 8,
                 skip: Sequence[int] = (4, ),
                 frequencies: Whole = 6,
                 features: Whole = 256,
                 bias: float = 0.6,
                 weight_norm: bool = True,
                 geometric_init: bool = True):
        super().__init__()
        self.width, self.depth, self.skip = width, depth, tuple(skip)
        self.frequencies, self.features = frequencies, features
        encoded = encoded_size(3, frequencies)
        sizes = [encoded, *hidden_widths(width, depth, "SDFNetwork"), 1 + features]
        if any(not 0 < s <= depth or sizes[s] <= encoded for s in self.skip):
            raise ConfigError(f"SDFNetwork: skip={list(self.skip)} must name layers from 1 to depth={depth}, and there "
                              f"width={width} must exceed the {encoded} channels of the encoded input")
        for i in range(depth + 1):
            size = sizes[i + 1] - (encoded if i + 1 in self.skip else 0)
            layer = make_linear(sizes[i], size, weight_norm)
            if geometric_init:
                self._init_geometrically(i, layer, encoded, bias)
            setattr(self, f"lin{i}", layer)
        self._chain: list[_FrozenLayer] | None = None

    def _init_geometrically(self, i: int, layer: nn.Module, encoded: int, bias: float) -> None:
        """Weights with which the network's sdf is nearly ``|x| - bias`` (SAL, theorem 1): Fourier features start with weight
        zero."""
        weight = torch.empty_like(layer.weight)
        size, below = weight.shape
        nn.init.constant_(layer.bias, -bias if i == self.depth else 0.0)
        if i == self.depth:
            weight.normal_(math.sqrt(math.pi) / math.sqrt(below), 0.0001)
        elif i == 0 and self.frequencies > 0:
            weight.zero_()[:, :3].normal_(0.0, math.sqrt(2) / math.sqrt(size))
        else:
            weight.normal_(0.0, math.sqrt(2) / math.sqrt(size))
            if i in self.skip and self.frequencies > 0:
                weight[:, -(encoded - 3):] = 0.0
        if isinstance(layer, WeightNormLinear):
            layer.set_weight(weight)
        else:
            with torch.no_grad():
                layer.weight.copy_(weight)

    @property
    def layers(self) -> list[nn.Module]:
        """The linear layers in order."""
        return [getattr(self, f"lin{i}") for i in range(self.depth + 1)]

    def forward(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n out"]:
        """Signed distance (first channel, scene units) and features of points."""
        hidden, encoded = self._hidden(points)
        return self.layers[-1](self._input(self.depth, hidden, encoded))

    def sdf(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Signed distance of points alone; faster without gradient, fastest inside :meth:`frozen`."""
        if not torch.is_grad_enabled():
            return self._through_chain(self._chain or self._make_chain(), points)
        hidden, encoded = self._hidden(points)
        last = self.layers[-1]
        return functional.linear(self._input(self.depth, hidden, encoded), last.weight[:1], last.bias[:1])[:, 0]

    def gradient(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Gradient of the signed distance at points; differentiable."""
        return self.sdf_and_gradient(points)[1]

    def sdf_and_gradient(
            self, points: Float[Tensor,
                                "n 3"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"], Float[Tensor, "n features"]]:
        """Signed distance, its gradient, and features, in one forward and one backward pass through the network.

        The backward pass is explicit rather than by autograd, so everything is differentiable with respect to the
        parameters and points by an ordinary backward pass (the eikonal loss needs no ``create_graph``). Within autocast the
        layers compute in its precision; distances and gradients come in float32, then accurate to about 0.01.
        """
        encoded = fourier_encoding(points, self.frequencies)
        weights, slopes, hidden = [layer.weight for layer in self.layers], [], encoded
        for i, weight in enumerate(weights[:-1]):
            z = functional.linear(self._input(i, hidden, encoded), weight, self._bias(i))
            hidden, slope = _SoftplusAndSlope.apply(z)
            slopes.append(slope)
        out = functional.linear(self._input(self.depth, hidden, encoded), weights[-1], self._bias(self.depth))
        gradient = encoding_pullback(encoded, self._pullback(weights, slopes, encoded), self.frequencies)
        return out[:, 0].to(points.dtype), gradient.to(points.dtype), out[:, 1:]

    def _pullback(self, weights: list[Tensor], slopes: list[Tensor], encoded: Tensor) -> Tensor:
        """Gradient of the sdf with respect to the encoded points."""
        by_encoded, by_hidden = None, weights[-1][:1].expand(len(encoded), -1)
        for i in range(self.depth, -1, -1):
            if i < self.depth:
                by_hidden = (by_hidden * slopes[i]) @ weights[i]
            if i in self.skip:
                by_hidden, by_skip = (by_hidden / math.sqrt(2)).split(
                    [by_hidden.shape[1] - encoded.shape[1], encoded.shape[1]], 1)
                by_encoded = by_skip if by_encoded is None else by_encoded + by_skip
        return by_hidden if by_encoded is None else by_hidden + by_encoded

    def _bias(self, i: int) -> Tensor:
        """The bias of layer ``i``, the same for all points."""
        return self.layers[i].bias

    def _input(self, i: int, hidden: Tensor, encoded: Tensor) -> Tensor:
        """The input of layer ``i``."""
        return torch.cat([hidden, encoded], 1) / math.sqrt(2) if i in self.skip else hidden

    def _hidden(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Output of the last hidden layer, and the encoded points."""
        encoded = hidden = fourier_encoding(points, self.frequencies)
        for i, layer in enumerate(self.layers[:-1]):
            z = functional.linear(self._input(i, hidden, encoded), layer.weight, self._bias(i))
            hidden = functional.softplus(z, BETA)
        return hidden, encoded

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Prepare the weights once for many evaluations without gradient: ``with network.frozen(), torch.no_grad(): ...``.

        Parameters must not change inside. Evaluations that record gradients are not affected.
        """
        if self._chain is not None:
            yield
            return
        try:
            with frozen(self), torch.no_grad():
                self._chain = self._make_chain()
            with frozen(self):
                yield
        finally:
            self._chain = None

    def _make_chain(self) -> list[_FrozenLayer]:
        """The layers with softplus's ``BETA``, its sign and the skips' ``sqrt(2)`` folded into weights and biases.

        Hidden values are kept as ``-BETA h``, and ``-BETA softplus(z) = logsigmoid(-BETA z)`` is a single cheap operation.
        """
        chain = []
        for i, layer in enumerate(self.layers):
            last = i == self.depth
            weight, bias = (layer.weight[:1], layer.bias[:1]) if last else (layer.weight, self._bias(i))
            scale = 1 if last else -BETA
            if i in self.skip:
                split = weight.shape[1] - encoded_size(3, self.frequencies)
                hidden, encoded = (weight / math.sqrt(2)).tensor_split([split], 1)
            else:
                hidden, encoded = (None, weight) if i == 0 else (weight, None)
            chain.append(
                _FrozenLayer(None if hidden is None else (hidden * (-1 / BETA if last else 1)).T, None if encoded is None else
                             (encoded * scale).T, bias * scale))
        return chain

    def _through_chain(self, chain: list[_FrozenLayer], points: Tensor) -> Tensor:
        """Signed distances, given :meth:`_make_chain`."""
        encoded, hidden = fourier_encoding(points, self.frequencies), None
        *layers, last = chain
        for layer in layers:
            hidden = functional.logsigmoid(layer(hidden, encoded))
        return last(hidden, encoded)[:, 0]
