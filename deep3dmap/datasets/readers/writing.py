"""Shared code of all writers: file names from view names, photographs and masks."""

import re
from collections.abc import Sequence
from pathlib import Path

from deep3dmap.datasets.readers.base import without_image_suffix
from deep3dmap.errors import DataError
from deep3dmap.io.images import write_image, write_mask
from deep3dmap.structures import Capture

SKEW = 0.01  # shift by skew between top and bottom of an image, pixels, below which it is rounding


def file_names(names: Sequence[str]) -> list[str]:
    """File names (without suffix) for views: the views' own names if valid, else with a number prefix."""
    stems = [re.sub(r"[^\w.+-]", "_", without_image_suffix(name)).lstrip(".") or "view" for name in names]
    unique = len({s.lower() for s in stems}) == len(stems)
    return stems if unique else numbered(stems)


def ordered_file_names(names: Sequence[str]) -> list[str]:
    """:func:`file_names` whose alphabetical order is the views' order."""
    stems = file_names(names)
    files = [f"{s}.png" for s in stems]
    return stems if sorted(files) == files else numbered(stems)


def numbered(stems: Sequence[str]) -> list[str]:
    """Names prefixed with their position."""
    return [f"{i:04d}_{stem}" for i, stem in enumerate(stems)]


def write_views(capture: Capture, names: Sequence[str], images: Path, masks: Path) -> None:
    """Write a capture's photographs and masks as ``NAME.png`` into two folders."""
    for i, name in enumerate(names):
        write_image(images / f"{name}.png", capture.images[i])
        if capture.masks is not None:
            write_mask(masks / f"{name}.png", capture.masks[i])


def check_no_skew(capture: Capture, format_name: str) -> None:
    """Refuse cameras with skew, for formats that can't store it.

    Raises:
        DataError: naming the first such view.
    """
    K, height = capture.cameras.K, capture.cameras.size[0]
    skewed = (K[:, 0, 1] / K[:, 1, 1]).abs() * height > SKEW
    if skewed.any():
        view = capture.names[int(skewed.nonzero()[0])]
        raise DataError(f"{format_name} can't store the skew of the camera of view '{view}'; write 'idr' or 'middlebury'")
