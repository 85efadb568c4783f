"""Masks: validation, and masks of objects in front of a dark or bright background (as in Middlebury's temple)."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from scipy import ndimage

from deep3dmap.datasets.captures.formats import scan_capture
from deep3dmap.datasets.readers.base import Scan, new_mask_names
from deep3dmap.errors import DataError
from deep3dmap.io.images import read_image, write_mask

#: Brightness by which an object differs from a black or a white background, unless a threshold is given.
MARGIN = 48

#: Problems of a mask, phrased to follow "the mask".
MASK_PROBLEMS = {"empty": "is empty (nothing in it is white): fix it",
               "full": "covers the whole image: only the object must be white",
               "inverted": "seems inverted: the object must be white, the background black"}  # yapf: disable


def mask_problem(mask: Bool[np.ndarray, "h w"]) -> str:
    """A key of :data:`MASK_PROBLEMS`, or nothing. An inverted mask covers the image's border, not its middle."""
    if not mask.any():
        return "empty"
    if mask.all():
        return "full"
    height, width = mask.shape
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    middle = mask[height // 4:height - height // 4, width // 4:width - width // 4]
    return "inverted" if middle.size and border > 0.6 and middle.mean() < border else ""


def mask_centroid(mask: Bool[np.ndarray, "h w"]) -> tuple[float, float, float] | None:
    """Mean pixel coordinates of a mask, and the radius of a disc of its area; None if it is empty or full."""
    rows, columns = np.nonzero(mask)
    if not 0 < len(rows) < mask.size:
        return None
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5, float(np.sqrt(len(rows) / np.pi))


def brightness_mask(image: UInt8[np.ndarray, "h w 3"],
                    threshold: int | None = None,
                    bright_background: bool = False,
                    closing: int = 2,
                    opening: int = 1) -> Bool[np.ndarray, "h w"]:
    """The largest connected region that stands out from the background by its brightest channel.

    Args:
        image: 8-bit RGB.
        threshold: brightness (0 to 255) between background and object; by default 48, or 207 where the background is bright.
        bright_background: the object is the darker one, by its darkest channel.
        closing, opening: radii in pixels by which gaps are closed, then specks removed.

    Returns:
        True on the object; holes in it that are as dark as the background stay open.
    """
    if threshold is None:
        threshold = 255 - MARGIN if bright_background else MARGIN
    found = image.min(-1) < threshold if bright_background else image.max(-1) > threshold
    cross = ndimage.generate_binary_structure(2, 1)
    padded = np.pad(found, closing + 1)
    if closing:
        padded = ndimage.binary_closing(padded, cross, closing)
    if opening:
        padded = ndimage.binary_opening(padded, cross, opening)
    labels, count = ndimage.label(padded)
    if count > 1:
        padded = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    inner = slice(closing + 1, -(closing + 1))
    return padded[inner, inner]


def make_masks(folder: str | Path, threshold: int | None = None, bright_background: bool = False) -> list[Path]:
    """Write a mask for every view of a capture that has none, into the format's mask folder.

    Returns:
        The files written.

    Raises:
        DataError: if the format names its masks itself, a mask's path is taken or outside the capture, or a mask is empty or
            full because the threshold is wrong; nothing is written then.
        OSError: if one can't be written; earlier ones are complete.
    """
    masks = {}
    scan = scan_capture(folder)[1]
    for frame, path in zip(scan.frames, _mask_places(scan)):
        if frame.mask is None:
            if path.exists():
                raise DataError(f"{path}: exists, but belongs to another image than {frame.image}; move the folder "
                                "away to make all masks, or add the missing ones to it")
            image = read_image(frame.image).numpy()
            mask = brightness_mask(image, threshold, bright_background)
            if not 0.002 < mask.mean() < 0.98:
                raise DataError(f"{frame.image}: {mask.mean():.1%} of it is classified as the object; choose another "
                                "--threshold" + ("" if bright_background else ", or --bright-background"))
            masks[path] = torch.from_numpy(mask)
    for path, mask in masks.items():
        write_mask(path, mask)
    return list(masks)


def _mask_places(scan: Scan) -> list[Path]:
    """Where the reader of a capture looks for the mask of each of its images."""
    if scan.masks is None:
        raise DataError(f"{scan.file}: names its masks itself (mask_path, or the photographs' alpha channel); add them there")
    for image in (frame.image for frame in scan.frames):
        if not image.is_relative_to(scan.images) or ".." in image.relative_to(scan.images).parts:
            raise DataError(f"{image}: is outside {scan.images}, so no mask in {scan.masks} can have its name; move the "
                            f"photographs there, and name them so in {scan.file}")
    names = new_mask_names([frame.image.relative_to(scan.images).as_posix() for frame in scan.frames])
    return [scan.masks / name for name in names]
