"""Numbers as colours: a small, fixed set of colour maps (taken from matplotlib).

Sequential maps that grow steadily in lightness, so that they also read in grey print and for the colour-blind.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8

NAMES = {
    "error": "YlOrRd",  # distance to the true surface: pale is right, dark red is wrong
    "difference": "magma",  # between two pictures: black is equal
}
"""What a map is used for, and matplotlib's name of it."""


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
    """The colour of each value. Values outside of [0, maximum] take the colour of the nearer end.

    Args:
        values: any shape; those that are not finite take the colour ``invalid``.
        maximum: value that has the last colour; a range of zero gives all values the first colour.
        name: of the map, one of ``NAMES``.
        invalid: RGB of what has no value.
    """
    finite = np.isfinite(values)
    scaled = np.where(finite, values, 0) / (maximum if maximum > 0 else np.inf)
    colors = lookup_table(name)[np.round(255 * scaled.clip(0, 1)).astype(np.uint8)]
    return np.where(finite[..., None], colors, np.array(invalid, np.uint8))
