"""The decoder of DeepSDF: a multi-layer perceptron from a shape's code and a point to a signed distance.

Park et al., "DeepSDF: Learning Continuous Signed Distance Functions for Shape Representation", CVPR 2019, section 4 and
figure 3; the variants are those of the authors' code.

The code is shared by all points of a shape, so its contribution is computed once per shape, not per point: the columns of a
weight are split into those for the layer below, and those for code and point. The latter are applied in one product of
the points concatenated with a one-hot shape indicator, in float32 even within autocast, since half precision moves points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.annotations import Count, Share
from deep3dmap.backbones.linear import frozen, make_linear
from deep3dmap.backbones.relu_dropout import kept_scale, relu_dropout
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES

LATENT_DROPOUT = 0.2


@dataclass
class _FrozenLayer:
    """A layer for many points of one shape: weights of the layer below and of the point; the bias includes the code."""

    hidden: Tensor | None
    point: Tensor | None
    bias: Tensor
    norm: nn.Module | None

    def __call__(self, below: Tensor | None, points: Tensor) -> Tensor:
        out = self.bias if below is None else torch.addmm(self.bias, below, self.hidden)
        out = out if self.point is None else torch.addmm(out, points, self.point)
        return out if self.norm is None else self.norm(out)


@BACKBONES.register_module()
class DeepSDFDecoder(nn.Module):
    """Signed distances at points of shapes given by codes.

    Layers are named ``lin0`` ... and ``bn0`` ... as in published checkpoints, and options as in their ``NetworkSpecs``.

    Args:
        code_length: of a shape's code.
        dims: widths of the hidden layers.
        dropout: layers after which activations are dropped in training; None for none.
        dropout_prob: dropout probability.
        norm_layers: layers that are normalised: their weights, or their outputs (layer normalisation) without ``weight_norm``.
        latent_in: layers that take code and point as input again.
        weight_norm: see ``norm_layers``.
        xyz_in_all: all layers take the point as input again.
        use_tanh: a second tanh at the end.
        latent_dropout: drop a fifth of the code's entries at the first layer in training, independently per point.

    Raises:
        ConfigError: if an option names a missing layer, or a layer is too narrow for its skip connection.
    """

    def __init__(self,
                 code_length: Count = 256,
                 dims: Sequence[int] = (512, ) * 8,
                 dropout: Sequence[int] | None = tuple(range(8)),
                 dropout_prob: Share = 0.2,
                 norm_layers: Sequence[int] = tuple(range(8)),
                 latent_in: Sequence[int] = (4, ),
                 weight_norm: bool = True,
                 xyz_in_all: bool = False,
                 use_tanh: bool = False,
                 latent_dropout: bool = False):
        super().__init__()
        self.code_length, self.depth = code_length, len(dims)
        self.dropout, self.dropout_prob = tuple(dropout or ()), dropout_prob
        self.latent_in, self.weight_norm, self.xyz_in_all = tuple(latent_in), weight_norm, xyz_in_all
        self.use_tanh, self.latent_dropout = use_tanh, latent_dropout
        self._check(dims, tuple(norm_layers))
        sizes = [code_length + 3, *dims, 1]
        for i in range(self.depth + 1):
            size = self._outputs(i, sizes)
            normalized = i in norm_layers
            setattr(self, f"lin{i}", make_linear(sizes[i], size, weight_norm and normalized))
            if normalized and not weight_norm:
                setattr(self, f"bn{i}", nn.LayerNorm(size))

    def _check(self, dims: Sequence[int], norm_layers: tuple[int, ...]) -> None:
        named = {"dropout": self.dropout, "norm_layers": norm_layers, "latent_in": self.latent_in}
        for name, layers in named.items():
            first = 1 if name == "latent_in" else 0
            if any(not first <= i <= self.depth for i in layers):
                raise ConfigError(f"DeepSDFDecoder: {name}={list(layers)} must name layers from {first} to {self.depth}")
        if self.dropout_prob >= 1:
            raise ConfigError(f"DeepSDFDecoder: dropout_prob={self.dropout_prob} would drop everything; it must be below 1")
        widths = [self._outputs(i, [self.code_length + 3, *dims, 1]) for i in range(self.depth + 1)]
        if min(widths) < 1:
            raise ConfigError(
                f"DeepSDFDecoder: dims={list(dims)} leave layer {widths.index(min(widths))} no output, since the next "
                f"one also takes the code's {self.code_length} entries and the point")

    def _outputs(self, i: int, sizes: Sequence[int]) -> int:
        """Outputs of layer ``i``: the next one's width minus its additional inputs."""
        if i + 1 in self.latent_in:
            return sizes[i + 1] - sizes[0]
        return sizes[i + 1] - (3 if self.xyz_in_all and i < self.depth else 0)

    @property
    def layers(self) -> list[nn.Module]:
        """The linear layers in order."""
        return [getattr(self, f"lin{i}") for i in range(self.depth + 1)]

    def forward(self, codes: Float[Tensor, "s l"], points: Float[Tensor, "s k 3"]) -> Float[Tensor, "s k"]:
        """Signed distances of each shape at its own points.

        Args:
            codes: of the shapes.
            points: in the shapes' normalised frame.

        Returns:
            In (-1, 1), positive outside, float32.
        """
        shapes, count = points.shape[:2]
        flat, hidden, scale, kind = points.reshape(-1, 3), None, 1.0, points.device.type
        precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else points.dtype
        shape = None if shapes == 1 else torch.eye(shapes).to(points).repeat_interleave(count, 0)
        seen = flat if shape is None else torch.cat([flat, shape], 1)
        for i, layer in enumerate(self.layers[:-1]):
            z = self._first_with_dropout(layer, codes, points) if i == 0 and self.latent_dropout and self.training else \
                self._affine(i, layer, hidden, scale, codes, seen)
            z = z if (norm := self._norm(i)) is None else norm(z)
            z = z.to(precision)
            dropped = self.dropout_prob if self.training and i in self.dropout else 0.0
            hidden, scale = relu_dropout(z, dropped), kept_scale(dropped)
        with torch.autocast(kind, enabled=False):
            out = self._affine(self.depth, self.layers[-1], hidden.float(), scale, codes.float(), seen)
            return self._squash(out).view(shapes, count)

    def _affine(self, i: int, layer: nn.Module, hidden: Tensor | None, scale: float, codes: Tensor, seen: Tensor) -> Tensor:
        """A linear layer of the layer below, to be multiplied by ``scale``, and of points concatenated with their shape's
        indicator."""
        below, of_code, of_point = self._columns(i, layer.weight)
        out, below = layer.bias, below if scale == 1.0 or below is None else below * scale
        if of_point is not None:
            with torch.autocast(seen.device.type, enabled=False):
                if of_code is not None:  # one row per shape, including the bias
                    out = torch.addmm(out, codes.float(), of_code.T)
                single = len(out) == 1 or out.ndim == 1
                out = torch.addmm(out, seen[:, :3], of_point.T) if single else seen @ torch.cat([of_point.T, out])
        return out if below is None else torch.addmm(out, hidden, below.T)

    def _columns(self, i: int, weight: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The columns of layer ``i``'s weight for the layer below, the code and the point; None where they aren't inputs."""
        sees_code, sees_point = i == 0 or i in self.latent_in, i > 0 and self.xyz_in_all
        if not sees_code and not sees_point:
            return weight, None, None
        split = weight.shape[1] - 3 - (self.code_length if sees_code else 0)
        below, of_code, of_point = weight.split([split, weight.shape[1] - split - 3, 3], 1)
        return below if i else None, of_code if sees_code else None, of_point

    @staticmethod
    def _first_with_dropout(layer: nn.Module, codes: Tensor, points: Tensor) -> Tensor:
        """The first layer, where every point has its own code because of dropped entries."""
        each = functional.dropout(codes[:, None].expand(-1, points.shape[1], -1), LATENT_DROPOUT)
        return layer(torch.cat([each, points], -1).flatten(0, 1))

    def _norm(self, i: int) -> nn.Module | None:
        return getattr(self, f"bn{i}", None)

    def _squash(self, out: Tensor) -> Tensor:
        return torch.tanh(torch.tanh(out) if self.use_tanh else out)

    @torch.no_grad()
    def field(self, code: Float[Tensor, "l"]) -> Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]]:
        """The signed distances of one shape as a function of points, without gradients and dropout.

        It uses the current parameters.
        """
        with frozen(self):
            layers = [self._frozen_layer(i, layer, code) for i, layer in enumerate(self.layers)]

        @torch.no_grad()
        def evaluate(points: Tensor) -> Tensor:
            hidden = None
            for layer in layers[:-1]:
                hidden = layer(hidden, points).relu_()
            return self._squash(layers[-1](hidden, points))[:, 0]

        return evaluate

    def _frozen_layer(self, i: int, layer: nn.Module, code: Tensor) -> _FrozenLayer:
        below, of_code, of_point = self._columns(i, layer.weight)
        bias = layer.bias.clone() if of_code is None else torch.addmv(layer.bias, of_code, code)
        return _FrozenLayer(None if below is None else below.clone().T, None if of_point is None else of_point.clone().T, bias,
                            self._norm(i))
