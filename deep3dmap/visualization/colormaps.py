"""A small, fixed set of colour maps (taken from matplotlib).

Sequential maps with monotonic lightness, also readable in greyscale and for the colour-blind.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

NAMES = {
    "error": "YlOrRd",  # distance to the true surface: pale is low, dark red is high
    "difference": "magma",  # between two images: black is equal
}
"""A map's use, and its matplotlib name."""


@cache
def lookup_table(name: str = "error") -> UInt8[np.ndarray, "256 3"]:
    """The 256 colours of a map, from the lowest value to the highest.

    Raises:
        ValueError: if there is no map of that name.
    """
    from matplotlib import colormaps
    if name not in NAMES:
        raise ValueError(f"no colour map '{name}'; there are {', '.join(sorted(NAMES))}")
    table = np.round(255 * colormaps[NAMES[name]](np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)
    table.setflags(write=False)
    return table


def colorize(values: Float[np.ndarray, "*shape"],
             maximum: float,
             *,
             name: str = "error",
             invalid: tuple[int, int, int] = (150, 150, 150)) -> UInt8[np.ndarray, "*shape 3"]:
    """The colour of each value. Values outside [0, maximum] are clamped.

    Args:
        values: any shape; non-finite ones get the colour ``invalid``.
        maximum: value of the last colour; a range of zero gives all values the first colour.
        name: of the map, one of ``NAMES``.
        invalid: RGB of non-finite values.
    """
    finite = np.isfinite(values)
    scaled = np.where(finite, values, 0) / (maximum if maximum > 0 else np.inf)
    colors = lookup_table(name)[np.round(255 * scaled.clip(0, 1)).astype(np.uint8)]
    return np.where(finite[..., None], colors, np.array(invalid, np.uint8))
