"""Losses between renderings and photographs: silhouettes and colours of whole views."""

from jaxtyping import Float
from torch import Tensor

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES


@LOSSES.register_module()
class SilhouetteLoss(Loss):
    """Mean squared difference of opacities and masks over all pixels."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``alpha`` (n, h, w) in [0, 1].
            inputs: ``masks`` (n, h, w) in [0, 1].
        """
        return ((outputs["alpha"] - inputs["masks"])**2).mean()


@LOSSES.register_module()
class PhotometricLoss(Loss):
    """Mean absolute difference of colours over the pixels that both the rendering and the mask cover."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss; 0 where no pixel is covered.

        Args:
            outputs: ``rgb`` (n, h, w, 3), ``covered`` (n, h, w) bool.
            inputs: ``images`` (n, h, w, 3), ``masks`` (n, h, w).
        """
        both = outputs["covered"] & (inputs["masks"] > 0.99)
        difference = (outputs["rgb"] - inputs["images"]).abs()[both]
        return difference.sum() / max(difference.numel(), 1)
