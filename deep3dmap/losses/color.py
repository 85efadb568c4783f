"""Difference between rendered and photographed colours (IDR, Yariv et al. 2020, eq. 6)."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class ColorLoss(Loss):
    """L1 distance of colours in [-1, 1] over rays that hit inside the mask, divided by the number of all rays."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``rgb`` (r, 3) in [-1, 1]; ``hit`` (r,) True where the ray meets the surface.
            inputs: ``rgb`` (r, 3) in [0, 1]; ``mask`` (r,) True on the object.
        """
        valid = outputs["hit"] & inputs["mask"]
        difference = outputs["rgb"][valid] - (inputs["rgb"][valid] * 2 - 1)
        return difference.abs().sum() / len(valid)
