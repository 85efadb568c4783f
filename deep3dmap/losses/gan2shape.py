"""Losses of GAN2Shape (Pan et al., "Do 2D GANs Know 3D Shape?", ICLR 2021, section 3), as its code computes them."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from deep3dmap.annotations import Positive, Whole
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES

EPSILON = 1e-7
#: By which the weight of each further map is divided.
FALLOFF = 2.3


def masked_mean(values: Float[Tensor, "n c h w"], mask: Float[Tensor, "n #c h w"] | None) -> Float[Tensor, ""]:
    """The mean over the pixels and channels of a mask, or over all.

    Args:
        values: of each pixel.
        mask: weights of the pixels, not all 0; None for equal ones.
    """
    if mask is None:
        return values.mean()
    mask = mask.expand_as(values)
    return (values * mask).sum() / mask.sum()


@LOSSES.register_module()
class MaskedL1Loss(Loss):
    """Mean absolute difference of two pictures over a mask; with a confidence, a Laplacian's negative log-likelihood.

    The latter is by Wu et al., CVPR 2020, equation 3, without its constant.
    """

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``image`` (n, c, h, w); optional ``mask`` (n, 1, h, w), weights of the pixels, and ``deviation``
                (n, 1, h, w), by which the pictures are expected to differ.
            inputs: ``image`` (n, c, h, w).
        """
        difference, deviation = (outputs["image"] - inputs["image"]).abs(), outputs.get("deviation")
        if deviation is not None:
            deviation = deviation + EPSILON
            difference = difference * 2**0.5 / deviation + deviation.log()
        return masked_mean(difference, outputs.get("mask"))


def second_differences(maps: Float[Tensor, "*n h w"]) -> Float[Tensor, ""]:
    """Sum of the mean absolute second differences of maps: along x, along y, and both mixed ones."""
    across, down = maps.diff(dim=-1), maps.diff(dim=-2)
    return sum(each.diff(dim=axis).abs().mean() for each in (across, down) for axis in (-1, -2))


@LOSSES.register_module()
class SmoothnessLoss(Loss):
    """Second differences of maps, see :func:`second_differences`.

    Args:
        maps: names of the maps among the outputs. Each may be a sequence of maps from fine to coarse, the weight of each of
            which is that of the one before divided by 2.3.
        weight: see :class:`deep3dmap.losses.Loss`.
    """

    def __init__(self, maps: Sequence[str] = ("depth", "shading"), weight=1.0):
        super().__init__(weight)
        self.maps = tuple(maps)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss, given the maps (n, h, w) or (n, c, h, w) among the outputs."""
        pyramids = [outputs[name] for name in self.maps]
        pyramids = [pyramid if isinstance(pyramid, (list, tuple)) else [pyramid] for pyramid in pyramids]
        return sum(second_differences(each) / FALLOFF**k for pyramid in pyramids for k, each in enumerate(pyramid))


@LOSSES.register_module()
class FeatureLoss(Loss):
    """Sum of the mean absolute differences of features at several sizes, such as a discriminator's, over a mask."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``features``, a list of (n, c, h, w) whose sizes divide the mask's; optional ``mask`` (n, 1, h, w).
            inputs: ``features`` of the picture that is compared with.
        """
        mask, total = outputs.get("mask"), 0.0
        for found, wanted in zip(outputs["features"], inputs["features"]):
            cell = None if mask is None else (mask.shape[2] // found.shape[2], mask.shape[3] // found.shape[3])
            total = total + masked_mean((found - wanted).abs(), None if mask is None else avg_pool2d(mask, cell))
        return total


def relief(depth: Float[Tensor, "n h w"], mask: Float[Tensor, "n 1 h w"], margin: int = 2) -> Float[Tensor, ""]:
    """The variance of depth in a mask without its outline, so many pixels wide."""
    depth, inside = depth[:, None], -max_pool2d(-mask, 2 * margin + 1, 1, margin)
    return masked_mean((depth - masked_mean(depth, inside)).square(), inside)


@LOSSES.register_module()
class ReliefLoss(Loss):
    """How far the relief of depth images is from a known one, see :func:`relief`.

    Not in the paper. Pictures tell relief only up to a factor, if neither views nor lights are known: a deeper shape that
    turns less makes the same ones (Belhumeur, Kriegman and Yuille, "The Bas-Relief Ambiguity", IJCV 1999).

    Args:
        deviation: standard deviation of the depths that is expected.
        margin: pixels at the outline of the mask that don't count.
        weight: see :class:`deep3dmap.losses.Loss`.
    """

    def __init__(self, deviation: Positive, margin: Whole = 2, weight=1.0):
        super().__init__(weight)
        self.deviation, self.margin = deviation, margin

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss: the square of the variance's relative error.

        Args:
            outputs: ``depth`` (n, h, w), and the ``mask`` (n, 1, h, w) of what counts.
            inputs: not used.
        """
        return (relief(outputs["depth"], outputs["mask"], self.margin) / self.deviation**2 - 1).square()
