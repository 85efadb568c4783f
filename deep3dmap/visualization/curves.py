"""Plots of the report: loss curves of a run, and the error distribution of a surface.

Reads the run's ``scalars.jsonl``: one JSON object per line, with ``step``, optionally ``stage``, and any numbers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.io.reading import read_text
from deep3dmap.visualization.colormaps import colorize
from deep3dmap.visualization.plots import LINE, MUTED, as_svg, draw_color_bar, drawing

NOT_CURVES = {"step", "stage", "stage_step", "seconds", "time", "iter", "epoch", "items_per_second", "memory_mib"}


@dataclass
class Scalars:
    """The scalars logged by a training run.

    Attributes:
        curves: name to (steps, values), steps ascending, values finite.
        stages: (first step, name) of each stage, in order.
    """

    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    stages: list[tuple[int, str]] = field(default_factory=list)


def read_scalars(path: str | Path) -> Scalars:
    """Reads a ``scalars.jsonl``. For a step written twice (after resuming) the last entry is used; a truncated last line is
    ignored.

    Raises:
        DataError: if the file is missing, or a line before the last is not a JSON object with a ``step``.
    """
    lines, records = read_text(Path(path)).splitlines(), {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            record = _record(line)
            if record is not None:
                records[int(record["step"])] = {**records.get(int(record["step"]), {}), **record}
            elif number < len(lines):
                raise DataError(f"{path}, line {number}: expected a JSON object with a 'step', got {line[:60]!r}")
    return _sorted_curves([records[step] for step in sorted(records)])


def _record(line: str) -> dict | None:
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return None
    valid = isinstance(record, dict) and isinstance(record.get("step"), (int, float)) and np.isfinite(record["step"])
    return record if valid else None


def _sorted_curves(records: Sequence[Mapping]) -> Scalars:
    found: dict[str, list[tuple[float, float]]] = {}
    scalars = Scalars()
    for record in records:
        stage = record.get("stage")
        if isinstance(stage, str) and (not scalars.stages or scalars.stages[-1][1] != stage):
            scalars.stages.append((int(record["step"]), stage))
        for name, value in record.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
                found.setdefault(name, []).append((record["step"], value))
    scalars.curves = {n: tuple(np.array(p, float).T) for n, p in found.items() if n not in NOT_CURVES}
    return scalars


def loss_curves(scalars: Scalars) -> str:
    """One small SVG plot for each curve of two points or more: losses first, learning rates last; may be empty.

    The vertical axis is logarithmic where all values are positive and span more than a factor of 20.
    """
    names = sorted(scalars.curves, key=_order)
    return "\n".join(_plot(name, *scalars.curves[name], scalars.stages) for name in names if len(scalars.curves[name][0]) > 1)


def _order(name: str) -> tuple[int, str]:
    return (0 if name == "loss" else 1 if "loss" in name else 3 if name.endswith("lr") else 2), name


def _plot(name: str, steps: np.ndarray, values: np.ndarray, stages: Sequence[tuple[int, str]]) -> str:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator
    low, high = float(values.min()), float(values.max())
    log = low > 0 and high > 20 * low
    smooth = values if name.endswith("lr") else _smoothed(values, log)
    with drawing(360, 210) as figure:
        axes = figure.subplots()
        axes.plot(steps, values, linewidth=1, alpha=0.3)
        axes.plot(steps, smooth, linewidth=1.8)
        for step, stage in stages[1:]:
            axes.axvline(step, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
            axes.annotate(stage, (step, 1), (4, -2), xycoords=axes.get_xaxis_transform(), textcoords="offset points", va="top",
                          color=MUTED, parse_math=False, in_layout=False)  # yapf: disable
        if log:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1, )))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(*_limits(values, log))
        axes.set_xlim(steps[0], steps[-1])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.grid(False, axis="x")
        axes.tick_params(length=0)
        axes.set_title(name, loc="left", weight="bold", parse_math=False)
        axes.set_title(f"{smooth[-1]:.3g}", loc="right")
        first, last = (f"{values[k]:.4g} at step {steps[k]:.0f}" for k in (0, -1))
        return as_svg(figure, "curve", f"{name}: {first}, {last}")


def _smoothed(values: np.ndarray, log: bool) -> np.ndarray:
    """Bias-corrected exponential moving average; of the logarithms on a logarithmic axis."""
    from scipy.signal import lfilter
    if len(values) < 30:
        return values
    weight = 1 - 0.2 / max(len(values) / 240, 1)
    summed, count = lfilter([1], [1, -weight], [np.log(values) if log else values, np.ones(len(values))])
    return np.exp(summed / count) if log else summed / count


def _limits(values: np.ndarray, log: bool) -> tuple[float, float]:
    """Axis limits that contain all values except the 0.5 % most extreme, and zero if close."""
    low, high = float(values.min()), float(np.quantile(values, 0.995) if len(values) > 50 else values.max())
    if log:
        return low / 1.15, high * 1.15
    low = 0.0 if 0 <= low < 0.5 * high else low
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low and low - margin, high + margin


def error_histogram(error: Float[np.ndarray, "v"], weights: Float[np.ndarray, "v"], maximum: float) -> str:
    """Histogram of a surface's error over the error map's colour bar; the last bar includes all above ``maximum``.

    Args:
        error: of each vertex, finite.
        weights: of each vertex: the area around it.
        maximum: of the colour map, positive.
    """
    edges = np.linspace(0, maximum, 60)
    share = np.histogram(error, [*edges, np.inf], weights=weights)[0] / max(weights.sum(), 1e-300)
    with drawing(1040, 190) as figure:
        upper, bar = figure.subplots(2, sharex=True, height_ratios=(10, 1))
        centres = edges + edges[1] / 2
        upper.bar(centres, 100 * share, 0.9 * edges[1], color=colorize(centres, maximum) / 255, edgecolor=LINE, linewidth=1)
        upper.set_ylabel("% of the surface")
        upper.grid(False, axis="x")
        upper.tick_params(length=0, labelbottom=False)
        upper.set_title(f"last bar: {maximum:.3g} and more", loc="right", color=MUTED)
        draw_color_bar(bar, maximum)
        bar.set_xlim(0, maximum + edges[1])
        return as_svg(figure, "histogram", "Share of the surface by error")
