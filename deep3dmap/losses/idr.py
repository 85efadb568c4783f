"""The loss terms of IDR (Yariv et al. 2020), and that of known distances."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.schedules import Schedule


@LOSSES.register_module()
class ColorLoss(Loss):
    """L1 distance of colours in [-1, 1] over rays that hit inside the mask, divided by the number of all rays (IDR, eq. 6)."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``rgb`` (r, 3) in [-1, 1]; ``hit`` (r,) True where the ray meets the surface.
            inputs: ``rgb`` (r, 3) in [0, 1]; ``mask`` (r,) True on the object.
        """
        valid = outputs["hit"] & inputs["mask"]
        difference = outputs["rgb"][valid] - (inputs["rgb"][valid] * 2 - 1)
        return difference.abs().sum() / len(valid)


@LOSSES.register_module()
class EikonalLoss(Loss):
    """Mean of ``(|gradient| - 1)^2`` (Gropp et al., "IGR", ICML 2020; IDR, eq. 9)."""

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


@LOSSES.register_module()
class MaskLoss(Loss):
    """Cross entropy of ``sigmoid(-alpha sdf)`` and the mask, over all rays except those that hit inside the mask.

    Divided by alpha and by the number of all rays. The smallest sdf along a ray classifies its pixel (IDR, eq. 7-8).

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


@LOSSES.register_module()
class SDFLoss(Loss):
    """Mean absolute difference of signed distances."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, in scene units.

        Args:
            outputs: ``sdf`` (p,) of the network.
            inputs: ``sdf`` (p,), the targets.
        """
        return (outputs["sdf"] - inputs["sdf"]).abs().mean()
