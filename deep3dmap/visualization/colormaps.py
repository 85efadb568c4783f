"""Numbers as colours: a small, fixed set of colour maps (taken from matplotlib) and the bar that explains them.

Sequential maps that grow steadily in lightness, so that they also read in grey print and for the colour-blind.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

NAMES = {
    "error": "YlOrRd",  # distance to the true surface: pale is right, dark red is wrong
    "difference": "magma",  # between two pictures: black is equal
    "depth": "viridis",
    "signed": "RdBu_r",  # around zero
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
             minimum: float = 0.0,
             name: str = "error",
             invalid: tuple[int, int, int] = (150, 150, 150)) -> UInt8[np.ndarray, "*shape 3"]:
    """The colour of each value. Values outside of [minimum, maximum] take the colour of the nearer end.

    Args:
        values: any shape; those that are not finite take the colour ``invalid``.
        maximum: value that has the last colour; a range of zero gives all values the first colour.
        minimum: value that has the first colour.
        name: of the map, one of ``NAMES``.
        invalid: RGB of what has no value.
    """
    span = maximum - minimum
    finite = np.isfinite(values)
    scaled = (np.where(finite, values, minimum) - minimum) / (span if span > 0 else np.inf)
    colors = lookup_table(name)[np.round(255 * scaled.clip(0, 1)).astype(np.uint8)]
    return np.where(finite[..., None], colors, np.array(invalid, np.uint8))


def nice_ticks(maximum: float, count: int = 4) -> list[float]:
    """Round numbers from 0 to at most ``maximum``, about ``count`` steps of 1, 2 or 5 times a power of ten."""
    if not maximum > 0 or not np.isfinite(maximum):
        return [0.0]
    raw = maximum / count
    power = 10.0**np.floor(np.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [float(f"{step * i:.12g}") for i in range(int(maximum / step * 1.000001) + 1)]


def css_gradient(name: str = "error", stops: int = 16) -> str:
    """The map as a CSS ``linear-gradient`` from left (low) to right (high)."""
    colors = lookup_table(name)[np.linspace(0, 255, stops).round().astype(int)]
    return f"linear-gradient(90deg, {', '.join('#' + bytes(c).hex() for c in colors)})"


def color_bar(maximum: float, unit: str = "", *, name: str = "error", width: int = 320) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of the map with its numbers below, on white, to be put under a coloured picture.

    Args:
        maximum: value at the right end; the left end is 0.
        unit: written after the last number.
        name: of the map.
        width: in pixels, at least 80.
    """
    width, margin, bar = max(width, 80), 14, 12
    image = Image.new("RGB", (width, 40), "white")
    ramp = lookup_table(name)[np.linspace(0, 255, width - 2 * margin).astype(int)]
    image.paste(Image.fromarray(np.broadcast_to(ramp, (bar, *ramp.shape)).copy()), (margin, 4))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    ticks = nice_ticks(maximum)
    for tick in ticks:
        x = margin + (width - 2 * margin - 1) * (tick / maximum if maximum > 0 else 0)
        draw.line([x, 4 + bar, x, 8 + bar], "black")
        label = f"{tick:g}" + (f" {unit}" if unit and tick == ticks[-1] else "")
        half = draw.textlength(label, font) / 2
        draw.text((min(max(x, half), width - half - 1), 9 + bar), label, "black", font, anchor="ma")
    return np.array(image)
