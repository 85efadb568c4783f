"""A signed distance network of many shapes: IDR's network, conditioned on a shape's code.

H3D-Net (Ramon et al., ICCV 2021, section 3) uses such a network as its prior: trained like DeepSDF's decoder, rendered like
IDR's surface. A code is the same for all points of a shape, so it only shifts the biases of the layers that
it is an input of: those that the point is an input of.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deep3dmap.annotations import Count
from deep3dmap.backbones.encoding import fourier_encoding
from deep3dmap.backbones.linear import frozen
from deep3dmap.backbones.sdf_network import BETA, SDFNetwork
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES


@BACKBONES.register_module()
class CodedSDFNetwork(SDFNetwork):
    """Signed distance and features of points of shapes given by codes.

    A decoder of :class:`deep3dmap.frameworks.deepsdf.DeepSDF`; and inside :meth:`coded` an :class:`SDFNetwork` of one shape.
    ``code0`` and ``code{skip}`` are the layers' weights for the code.

    Args:
        code_length: of a shape's code.
        options: of :class:`SDFNetwork`.
    """

    def __init__(self, code_length: Count = 64, **options):
        super().__init__(**options)
        self.code_length = code_length
        self._code: Tensor | None = None
        for i in self.sees_code:
            layer = nn.Linear(code_length, self.layers[i].bias.numel(), bias=False)
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / len(layer.weight)))  # initialised like additional coordinates
            setattr(self, f"code{i}", layer)

    @property
    def sees_code(self) -> tuple[int, ...]:
        """The layers that take the code as input."""
        return (0, *self.skip)

    def _check(self, code: Tensor) -> None:
        if code.shape[-1] != self.code_length:
            raise ConfigError(f"a code of {code.shape[-1]} entries, but this network's codes have {self.code_length}")

    @contextmanager
    def coded(self, code: Float[Tensor, "l"]) -> Iterator[None]:
        """Inside the context, the network represents one shape: ``sdf``, ``sdf_and_gradient``, ``gradient``, ``frozen``.

        Gradients flow to the code.

        Raises:
            ConfigError: for a code of another length.
        """
        self._check(code)
        before, self._code = self._code, code
        try:
            yield
        finally:
            self._code = before

    def _bias(self, i: int) -> Tensor:
        if i not in self.sees_code:
            return self.layers[i].bias
        if self._code is None:
            raise RuntimeError("a coded network needs a code: use `with network.coded(code):`")
        with torch.autocast(self._code.device.type, enabled=False):
            return torch.addmv(self.layers[i].bias, getattr(self, f"code{i}").weight, self._code.to(self.layers[i].bias))

    @torch.no_grad()
    def field(self, code: Float[Tensor, "l"]) -> Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]]:
        """The signed distances of one shape as a function of points, without gradients; with the current parameters."""
        with frozen(self), self.coded(code.detach().clone()):
            chain = self._make_chain()

        @torch.no_grad()
        def evaluate(points: Tensor) -> Tensor:
            return self._through_chain(chain, points)

        return evaluate

    def forward(self, codes: Float[Tensor, "s l"], points: Float[Tensor, "s k 3"]) -> Float[Tensor, "s k"]:
        """Signed distances of each shape at its own points, float32; see :class:`DeepSDFDecoder`."""
        self._check(codes)
        flat, count = points.reshape(-1, 3), points.shape[1]
        encoded = hidden = fourier_encoding(flat, self.frequencies)
        for i, layer in enumerate(self.layers[:-1]):
            z = functional.linear(self._input(i, hidden, encoded), layer.weight, layer.bias)
            if i in self.sees_code:
                moved = getattr(self, f"code{i}")(codes).to(z.dtype)
                z = (z.view(len(codes), count, -1) + moved[:, None]).flatten(0, 1)
            hidden = functional.softplus(z, BETA)
        last = self.layers[-1]
        with torch.autocast(points.device.type, enabled=False):
            values = functional.linear(self._input(self.depth, hidden, encoded).float(), last.weight[:1], last.bias[:1])
        return values.view(len(codes), count)
