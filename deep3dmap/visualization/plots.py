"""Plots by matplotlib in the report's style: as SVG in the page's colours, light or dark, or as pixels.

matplotlib is imported lazily: it takes half a second.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from deep3dmap.visualization.colormaps import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE, ACCENT = "#1a2230", "#667085", "#e3e7ee", "#2563eb"
PAGE = {INK: "currentColor", MUTED: "var(--muted)", LINE: "var(--line)", ACCENT: "var(--accent)"}
"""Colours of a plot, and their names in the report's style sheet."""
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 11, "axes.titlesize": 11,
    "text.color": INK, "axes.labelcolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED, "axes.edgecolor": LINE,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": LINE, "axes.axisbelow": True,
    "axes.prop_cycle": f"cycler('color', ['{ACCENT}'])", "svg.fonttype": "none", "svg.hashsalt": "deep3dmap",
    "path.simplify_threshold": 0.5,
}  # yapf: disable


@contextmanager
def drawing(width: float, height: float, layout: str = "constrained") -> Iterator["Figure"]:
    """A figure of the given size in pixels (an SVG's units) to draw and convert within the block.

    By default matplotlib lays out axes so that all texts fit; with the layout "none" axes are not moved.
    """
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context(STYLE):
        yield Figure((width / 72, height / 72), dpi=72, layout=layout)


def as_svg(figure: "Figure", kind: str, title: str) -> str:
    """The figure as an ``<svg>`` element for a page with ``report.css``; deterministic.

    Args:
        figure: of :func:`drawing`.
        kind: the element's CSS class.
        title: for screen readers and as tooltip.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = file.getvalue()
    svg = re.sub(r"<!--.*?-->|<style.*?</style>", "", svg[svg.index("<svg"):], flags=re.DOTALL)
    svg = re.sub(r'(?<= d=")[^"]+', lambda path: re.sub(r"(\.\d)\d+|\s*\n", r"\1", path[0]), svg)  # to 0.1 pixels
    svg = re.sub(r'<g id="[\w.]+">', "<g>", svg)
    svg = re.sub("|".join(PAGE), lambda color: PAGE[color[0]], svg)
    attributes, body = svg.strip().removeprefix("<svg").split(">", 1)
    return f'<svg class="plot {kind}" role="img"{attributes}><title>{escape(title)}</title>{body}'


def as_pixels(figure: "Figure") -> UInt8[np.ndarray, "h w 3"]:
    """The figure (of :func:`drawing`) on white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def draw_color_bar(axes: "Axes", maximum: float, unit: str = "") -> None:
    """Fill axes with the error's colour map, from 0 to ``maximum`` (positive), round numbers below, a unit after the last."""
    axes.imshow(np.linspace(0, 1, 256)[None], NAMES["error"], aspect="auto", extent=(0, maximum, 0, 1))
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick <= maximum * (1 + 1e-9)]
    axes.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), f"{ticks[-1]:g} {unit}".rstrip()], parse_math=False)
    axes.grid(False)
    axes.yaxis.set_visible(False)
    axes.spines[:].set_visible(False)


def color_bar(maximum: float, unit: str = "", width: int = 320, convert: Callable = as_pixels):
    """The error's colour bar with numbers, to be placed below an image; 40 pixels high.

    Args:
        maximum: value at the right end, positive; the left end is 0.
        unit: written after the last number.
        width: in pixels, at least 80.
        convert: :func:`as_pixels`, or :func:`as_svg` with its other arguments.
    """
    width = max(width, 80)
    with drawing(width, 40, layout="none") as figure:  # with space for half of the last number and its unit
        draw_color_bar(figure.add_axes((10 / width, 22 / 40, 1 - 40 / width, 12 / 40)), maximum, unit)
        return convert(figure)
