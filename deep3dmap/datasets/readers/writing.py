"""Shared code of all writers: new folders, and file names from view names."""

import re
from collections.abc import Sequence
from pathlib import Path

from deep3dmap.errors import DataError
from deep3dmap.io.images import IMAGE_SUFFIXES
from deep3dmap.structures import Capture

SKEW = 0.01  # shift by skew between top and bottom of an image, pixels, below which it is rounding


def check_new(path: Path) -> None:
    """Check that a folder is new or empty, so that a capture can be written to it.

    Raises:
        DataError: if it exists and is not empty.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: exists and is not an empty folder; write the capture to a new one")


def new_folder(path: Path) -> None:
    """Make a folder, parents included.

    Raises:
        DataError: see :func:`check_new`.
    """
    check_new(path)
    path.mkdir(parents=True, exist_ok=True)


def file_names(names: Sequence[str]) -> list[str]:
    """File names (without suffix) for views: the views' own names if valid, else with a number prefix."""
    stems = [_safe(name) for name in names]
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


def _safe(name: str) -> str:
    """A view's name as a file name: no folders, no image suffix, no leading dot."""
    ending = next((e for e in IMAGE_SUFFIXES if name.lower().endswith(e)), "")
    return re.sub(r"[^\w.+-]", "_", name[:len(name) - len(ending)]).lstrip(".") or "view"


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
