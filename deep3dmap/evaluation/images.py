"""Image and mask metrics. All images have values in [0, 1]."""

import math

from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn.functional import pad

SSIM_WINDOW = 11


def psnr(prediction: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], mask: Bool[Tensor, "h w"] | None = None) -> float:
    """Peak signal-to-noise ratio over the mask's pixels, in dB; infinite for equal images.

    The mean of the squared error is over all colour channels of the mask's pixels; pixels outside are ignored. Source: the
    evaluation of Yariv et al. 2020 (IDR), which multiplies both images by the mask and divides by the mask's size.

    Args:
        prediction: values in [0, 1] (the peak is 1; images in [-1, 1] must be mapped first).
        target: likewise.
        mask: the pixels to compare; None for all.

    Raises:
        ValueError: if the mask is empty.
    """
    squared = (prediction.double() - target.double())**2
    squared = squared.reshape(-1, squared.shape[-1]) if mask is None else squared[_not_empty(mask)]
    error = float(squared.mean())
    return -10 * math.log10(error) if error else math.inf


def ssim(prediction: Float[Tensor, "h w c"], target: Float[Tensor, "h w c"], mask: Bool[Tensor, "h w"] | None = None) -> float:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window of sigma 1.5, mean over the channels.

    With a mask, both images are multiplied by it, and the map of local similarities is averaged over its pixels; so the
    background is ignored, but the outline is not. Without, the mean excludes a border of half a window.

    Args:
        prediction: values in [0, 1].
        target: likewise.
        mask: the pixels to compare; None for all.

    Raises:
        ValueError: if the images are smaller than the window, or the mask is empty.
    """
    if min(target.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of {SSIM_WINDOW}x{SSIM_WINDOW} pixels or more, got {tuple(target.shape[:2])}")
    weight = 1.0 if mask is None else _not_empty(mask)[..., None].double()
    first, second = ((picture.double() * weight).cpu().numpy() for picture in (prediction, target))
    window = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    mean, local = structural_similarity(first, second, data_range=1.0, channel_axis=-1, full=True, **window)
    return float(mean) if mask is None else float(local[mask.cpu().numpy()].mean())


def mask_iou(prediction: Bool[Tensor, "h w"], target: Bool[Tensor, "h w"]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int((prediction | target).sum())
    return int((prediction & target).sum()) / union if union else 1.0


def shifted_mask_iou(prediction: Bool[Tensor, "h w"], target: Bool[Tensor, "h w"], reach: int) -> float:
    """The largest IoU over translations of the prediction by up to ``reach`` whole pixels along either axis.

    The excess over :func:`mask_iou` is due to the camera's pose rather than the shape. Pixels shifted out of
    the image are lost, those shifted in are empty.
    """
    height, width = target.shape
    around = pad(prediction, (reach, ) * 4)
    steps = range(2 * reach + 1)
    return max(mask_iou(around[i:i + height, j:j + width], target) for i in steps for j in steps)


def _not_empty(mask: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    if not mask.any():
        raise ValueError("the mask is empty: there is no pixel to compare")
    return mask
