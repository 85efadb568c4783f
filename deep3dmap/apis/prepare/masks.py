"""Masks for photographs that have none: ``deep3dmap make-masks``."""

from pathlib import Path

from deep3dmap.datasets.captures import masking
from deep3dmap.datasets.salient import make_salient_masks
from deep3dmap.errors import ConfigError
from deep3dmap.io.paths import resolve_data


def make_masks(data: str | Path,
               *,
               threshold: int | None = None,
               bright_background: bool = False,
               network: bool = False) -> list[Path]:
    """Write masks of an object in front of a dark or a bright background, or of the object that stands out most.

    Args:
        data: folder, or a data set's name; views that have a mask keep it.
        threshold: brightness between background and object (default: 48; with a bright background 207).
        bright_background: the object is darker than what is behind it.
        network: ask U2-Net-p what stands out in the pictures in image/, whatever the background; soft masks go to mask/.

    Returns:
        The files written.

    Raises:
        ConfigError: if a threshold is given for the network.
        DataError, OSError: as :func:`deep3dmap.datasets.captures.masking.make_masks`.
    """
    if network:
        if threshold is not None or bright_background:
            raise ConfigError("make-masks: --threshold and --bright-background are not for --network")
        return make_salient_masks(resolve_data(data))
    return masking.make_masks(resolve_data(data), threshold, bright_background)
