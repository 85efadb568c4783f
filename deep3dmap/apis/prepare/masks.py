"""Masks for photographs that have none: ``deep3dmap make-masks``."""

from pathlib import Path

from deep3dmap.datasets.captures import masking
from deep3dmap.io.paths import resolve_data


def make_masks(data: str | Path, *, threshold: int | None = None, bright_background: bool = False) -> list[Path]:
    """Write masks of an object in front of a dark or a bright background.

    Args:
        data: folder, or a data set's name; views that have a mask keep it.
        threshold: brightness between background and object (default: 48; with a bright background 207).
        bright_background: the object is darker than what is behind it.

    Returns:
        The files written.

    Raises:
        DataError, OSError: as :func:`deep3dmap.datasets.captures.masking.make_masks`.
    """
    return masking.make_masks(resolve_data(data), threshold, bright_background)
