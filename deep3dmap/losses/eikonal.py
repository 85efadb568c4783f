"""A signed distance's gradient has length one (Gropp et al., "IGR", ICML 2020; IDR, Yariv et al. 2020, eq. 9)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class EikonalLoss(Loss):
    """Mean of ``(|gradient| - 1)^2``."""

    def __init__(self, weight: float | Sequence[float] | dict = 0.1):
        super().__init__(weight)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``eikonal_gradient`` (m, 3) of the sdf at sampled points; with m = 0 the loss is 0.
            inputs: not used.
        """
        gradient = outputs["eikonal_gradient"]
        return ((gradient.norm(dim=1) - 1)**2).sum() / max(len(gradient), 1)
