"""Silhouettes: the smallest sdf along a ray classifies its pixel (IDR, Yariv et al. 2020, eq. 7-8)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.schedules import Schedule


@LOSSES.register_module()
class MaskLoss(Loss):
    """Cross entropy of ``sigmoid(-alpha sdf)`` and the mask, over all rays except those that hit inside the mask.

    Divided by alpha and by the number of all rays.

    Args:
        weight: a number or a schedule.
        alpha: sharpness of the sigmoid; a number, a list or a schedule (see :class:`deep3dmap.schedules.Schedule`).
    """

    def __init__(self, weight: float | Sequence[float] | dict = 100.0, alpha: float | Sequence[float] | dict = 50.0):
        super().__init__(weight)
        self.alpha_schedule = Schedule(alpha, "MaskLoss.alpha")

    @property
    def alpha(self) -> float:
        """The sharpness at the current progress."""
        return self.alpha_schedule(self.progress)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``sdf`` (r,) at the traced points, the ray's smallest where it misses; ``hit`` (r,) bool.
            inputs: ``mask`` (r,) True on the object.
        """
        mask = inputs["mask"]
        wrong = ~(outputs["hit"] & mask)
        logits = -self.alpha * outputs["sdf"][wrong]
        entropy = functional.binary_cross_entropy_with_logits(logits, mask[wrong].to(logits), reduction="sum")
        return entropy / (self.alpha * len(mask))
