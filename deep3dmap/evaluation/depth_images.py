"""Errors of depth images of objects (Wu, Rupprecht and Vedaldi, "Unsupervised Learning of Probably Symmetric Deformable 3D
Objects from Images in the Wild", CVPR 2020, section 4.1), as GAN2Shape's code computes them.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deep3dmap.annotations import Positive
from deep3dmap.evaluation.base import Metric
from deep3dmap.registry import METRICS
from deep3dmap.renderers.depth_image import grids
from deep3dmap.structures import Reconstruction


def mean_over(values: Float[Tensor, "n h w"], mask: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Means over masks; NaN for an empty one."""
    return (values * mask).sum((1, 2)) / mask.sum((1, 2))


def scale_invariant_errors(predicted: Float[Tensor, "n h w"],
                           truth: Float[Tensor, "n h w"],
                           mask: Float[Tensor, "n h w"] | None = None) -> Float[Tensor, "n h w"]:
    """Squared deviations of the logarithms' differences from their mean; 0 outside of the mask.

    Args:
        predicted, truth: depths.
        mask: 1 for pixels to compare; None for all.
    """
    mask = torch.ones_like(truth) if mask is None else mask
    difference = predicted.log() - truth.log()
    return (difference - mean_over(difference, mask)[:, None, None]).square() * mask


def cosine_angles(first: Float[Tensor, "n h w 3"], second: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n h w"]:
    """Angles whose cosine is the product of two vectors, degrees: too large for vectors that aren't quite of unit length."""
    return (first * second).sum(-1).clamp(-1, 1).acos().rad2deg()


def angles_between(first: Float[Tensor, "n h w 3"], second: Float[Tensor, "n h w 3"]) -> Float[Tensor, "n h w"]:
    """Angles between vectors of any length, degrees."""
    sine, cosine = torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)
    return torch.atan2(sine, cosine).rad2deg()


def eroded(mask: Float[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """The pixels of a mask of zeros and ones whose eight neighbours are in it, too; none in the border."""
    return (avg_pool2d(mask[:, None], 3, stride=1, padding=1)[:, 0] > 0.99).to(mask)


def depth_image_errors(predicted: Float[Tensor, "n h w"], truth: Float[Tensor, "n h w"], mask: Float[Tensor, "n h w"],
                       K: Float[Tensor, "3 3"]) -> dict[str, Float[Tensor, " n"]]:  # yapf: disable
    """Errors of depth images.

    Args:
        predicted, truth: depths.
        mask: 1 for pixels to compare.
        K: pinhole matrix, in pixels whose centres are whole numbers.

    Returns:
        ``side``, the scale-invariant depth error (of logarithms); ``normal_error``, the mean angle between the normals,
        degrees; ``mad``, the same by the published code; ``mae`` and ``mse``, the mean absolute and squared difference of
        depths. NaN for an empty mask.
    """
    points = [grids.lifted(depth, K) for depth in (predicted, truth)]
    return dict(side=mean_over(scale_invariant_errors(predicted, truth, mask), mask).sqrt(),
                normal_error=mean_over(angles_between(*map(grids.depth_normals, points)), mask),
                mad=mean_over(cosine_angles(*map(grids.depth_normals, points)), mask),
                mae=mean_over((predicted - truth).abs(), mask),
                mse=mean_over((predicted - truth).square(), mask))  # yapf: disable


@METRICS.register_module()
class DepthImageMetrics(Metric):
    """Errors of objects' depth images; smaller is better.

    ``side``: scale-invariant depth error, of logarithms; ``normal_error``: mean angle between the normals, degrees; ``mad``:
    the same by the published code, which shortens normals and so finds 6 degrees between equal ones at 64 pixels; ``mae`` and
    ``mse``: mean absolute and squared difference of depths. They are measured where both depth images show the object, one
    pixel inside of its outline. Items have the true ``depth`` (h, w), whose largest value is the background; results have
    ``depth`` (h, w) and ``visible`` (h, w), which is 1 where the depth is known.

    Args:
        fov: angle of view of the pictures, degrees, for normals.
    """

    names = ("side", "normal_error", "mad", "mae", "mse", "pictures")

    def __init__(self, fov: Positive = 10.0):
        self.fov = fov
        self.figures: list[dict[str, float]] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure one picture."""
        if "depth" not in item or "depth" not in result.arrays:
            return {}
        truth, predicted = torch.as_tensor(item["depth"])[None], result.arrays["depth"][None]
        shown = torch.ones_like(predicted) if "visible" not in result.arrays else result.arrays["visible"][None]
        mask = eroded((truth < truth.max()).to(predicted)) * eroded(shown.to(predicted))
        errors = depth_image_errors(predicted, truth, mask, grids.pinhole_matrix(truth.shape[-1], self.fov))
        self.figures.append({name: float(value[0]) for name, value in errors.items()})
        return self.figures[-1]

    def compute(self) -> dict[str, dict[str, float]]:
        """Means over the pictures."""
        if not self.figures:
            return {}
        means = {name: sum(each[name] for each in self.figures) / len(self.figures) for name in self.figures[0]}
        return {"depth images": means | dict(pictures=len(self.figures))}
