"""Linear layers with weight normalisation (Salimans and Kingma 2016), and frozen weights for inference."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.errors import ConfigError


class WeightNormLinear(nn.Module):
    """A linear layer whose weight is ``g v / |v|`` row by row.

    Its parameters are named as IDR's published checkpoints name them. They are initialised like ``nn.Linear``.

    Attributes:
        bias: (out,).
        weight_g: (out, 1) length of each row of the weight.
        weight_v: (out, in) direction of each row.
    """

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        linear = nn.Linear(in_features, out_features)
        self.bias = linear.bias
        self.weight_g = nn.Parameter(linear.weight.detach().norm(dim=1, keepdim=True))
        self.weight_v = linear.weight
        self._frozen: Tensor | None = None

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The effective weight; computed once where the layer is :func:`frozen` and no gradient is recorded."""
        if self._frozen is not None and not torch.is_grad_enabled():
            return self._frozen
        return self.weight_v * (self.weight_g / self.weight_v.norm(dim=1, keepdim=True))

    def set_weight(self, weight: Float[Tensor, "out in"]) -> None:
        """Set directions and lengths so that the effective weight is ``weight``."""
        with torch.no_grad():
            self.weight_v.copy_(weight)
            self.weight_g.copy_(weight.norm(dim=1, keepdim=True))

    def forward(self, x: Float[Tensor, "n in"]) -> Float[Tensor, "n out"]:
        """``x @ weight.T + bias``."""
        return functional.linear(x, self.weight, self.bias)


def make_linear(in_features: int, out_features: int, weight_norm: bool) -> "WeightNormLinear | nn.Linear":
    """A linear layer with or without weight normalisation; both draw the same numbers from torch's generator."""
    return WeightNormLinear(in_features, out_features) if weight_norm else nn.Linear(in_features, out_features)


def hidden_widths(width: int | Sequence[int], depth: int, network: str) -> list[int]:
    """The width of each of ``depth`` hidden layers: one for all of them, or a list with one for each.

    Raises:
        ConfigError: naming the network, if the list has another length.
    """
    widths = list(width) if isinstance(width, Sequence) else depth * [width]
    if len(widths) != depth:
        raise ConfigError(f"{network}: width={widths} must be a number or have depth={depth} entries")
    return widths


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Compute the effective weights inside ``module`` once for all evaluations without gradient in this context.

    Parameters must not change inside it. Evaluations that record gradients are not affected.
    """
    layers = [m for m in module.modules() if isinstance(m, WeightNormLinear) and m._frozen is None]
    try:
        with torch.no_grad():
            for layer in layers:
                layer._frozen = layer.weight.clone()
        yield
    finally:
        for layer in layers:
            layer._frozen = None
