"""Loss curves of a run as inline SVG, written here by hand: a few kB, no fonts, colours from the page's style sheet.

Reads the run's ``scalars.jsonl``: one JSON object a line, with ``step``, maybe ``stage``, and any numbers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.visualization.colormaps import colorize, nice_ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 210, 46, 10, 30, 26
POINTS = 240
"""Of a curve that are drawn at most: each is the mean (or, of the raw curve, the ends) of a bin of steps."""
NOT_CURVES = {"step", "stage", "stage_step", "seconds", "time", "iter", "epoch", "items_per_second", "memory_mib"}


@dataclass
class Scalars:
    """What a run wrote while it trained.

    Attributes:
        curves: name to (steps, values), steps ascending, values finite.
        stages: (first step, name) of each stage, in order.
        seconds: the clock's last entry, or None.
    """

    curves: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    stages: list[tuple[int, str]] = field(default_factory=list)
    seconds: float | None = None


def read_scalars(path: str | Path) -> Scalars:
    """Reads a ``scalars.jsonl``. A step written twice (after a resume) counts as written last; a cut last line is left out.

    Raises:
        DataError: if the file is missing, or a line before the last is not a JSON object with a ``step``.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't read the run's scalars: {error}") from error
    records = {}
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
    scalars.seconds = float(found["seconds"][-1][1]) if "seconds" in found else None
    scalars.curves = {n: tuple(np.array(p, float).T) for n, p in found.items() if n not in NOT_CURVES}
    return scalars


def loss_curves(scalars: Scalars, names: Sequence[str] | None = None) -> str:
    """One small SVG plot a curve, losses first, the learning rates last; an empty string where nothing was written.

    Colours come from the page: CSS variables ``--accent``, ``--muted`` and ``--line``, with fall-backs that read on white and
    on black. The vertical axis is logarithmic where all values are positive and span more than a factor of 20.

    Args:
        scalars: of ``read_scalars``.
        names: of the curves to draw, in order; by default all that have two points or more.
    """
    chosen = sorted(scalars.curves, key=_order) if names is None else [n for n in names if n in scalars.curves]
    return "\n".join(_plot(n, *scalars.curves[n], scalars.stages) for n in chosen if len(scalars.curves[n][0]) > 1)


def _order(name: str) -> tuple[int, str]:
    return (0 if name == "loss" else 1 if "loss" in name else 3 if name.endswith("lr") else 2), name


def _plot(name: str, steps: np.ndarray, values: np.ndarray, stages: Sequence[tuple[int, str]]) -> str:
    log = bool(values.min() > 0 and values.max() > 20 * values.min())
    bins = np.minimum((np.arange(len(steps)) * POINTS) // max(len(steps), POINTS), POINTS - 1)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    counts = np.diff(np.append(starts, len(steps)))
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    x, mean = np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts
    axis = _Axis.around(low, high, log)
    first, last = steps[0], steps[-1]
    px = LEFT + (x - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)
    smooth = mean if name.endswith("lr") else _smoothed(mean, log)
    raw = _path(np.repeat(px, 2), axis(np.stack([low, high], -1).ravel()))
    parts = [
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} against steps">',
        f'<title>{escape(name)}: {values[0]:.4g} at step {first:.0f}, {values[-1]:.4g} at step {last:.0f}</title>',
        f'<text x="{LEFT}" y="16" font-weight="600" fill="currentColor">{escape(name)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end" fill="currentColor">{smooth[-1]:.3g}</text>', *axis.svg(),
        *_steps_axis(first, last), *_stage_marks(stages, first, last),
        f'<path d="{raw}" fill="none" stroke="var(--accent, #3b82f6)" stroke-width="1" opacity="0.3"/>',
        f'<path d="{_path(px, axis(smooth))}" fill="none" stroke="var(--accent, #3b82f6)" stroke-width="1.8" '
        'stroke-linejoin="round"/>', '</svg>'
    ]
    return "".join(parts)


def _smoothed(values: np.ndarray, log: bool, weight: float = 0.8) -> np.ndarray:
    """Exponential running mean without the bias to the first value; of the logarithms on a logarithmic axis."""
    if len(values) < 30:
        return values
    values = np.log(values) if log else values
    total, norm, means = 0.0, 0.0, []
    for value in values:
        total, norm = weight * total + value, weight * norm + 1
        means.append(total / norm)
    return np.exp(means) if log else np.array(means)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


@dataclass(frozen=True)
class _Axis:
    """The vertical axis: values to pixels, and its grid."""

    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, low: np.ndarray, high: np.ndarray, log: bool) -> "_Axis":
        """Holds all but the wildest half per cent of the values."""
        bottom, top = float(low.min()), float(np.quantile(high, 0.995)) if len(high) > 50 else float(high.max())
        if log:
            return cls(bottom / 1.15, top * 1.15, True)
        bottom = 0.0 if 0 <= bottom < 0.5 * top else bottom
        margin = 0.06 * (top - bottom) or 0.5 * abs(top) or 1.0
        return cls(bottom if bottom == 0 else bottom - margin, top + margin, False)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        scale = np.log if self.log else np.asarray
        part = (scale(values) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return HEIGHT - BOTTOM - part.clip(0, 1) * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Round values inside of the axis."""
        if not self.log:
            step = nice_ticks(self.high - self.low)[1]
            return list(np.arange(np.ceil(self.low / step), np.floor(self.high / step) + 1) * step)
        powers = np.arange(np.floor(np.log10(self.low)), np.ceil(np.log10(self.high)) + 1)
        for mantissas in ([1.0], [1.0, 3.0], [1.0, 2.0, 5.0]):
            ticks = [m * 10.0**p for p in powers for m in mantissas if self.low <= m * 10.0**p <= self.high]
            if len(ticks) >= 3:
                break
        return ticks[::1 + (len(ticks) - 1) // 6]

    def svg(self) -> list[str]:
        """Grid lines and their numbers."""
        parts = []
        for tick in self.ticks():
            y = self(np.array([tick]))[0]
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="var(--line, #8884)" stroke-width="1"/>'
                         f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end" fill="var(--muted, #888)">'
                         f'{compact(tick)}</text>')
        return parts


def compact(value: float) -> str:
    """A number in few letters: 20000 is 20k, 1e-05 is 1e-5."""
    if abs(value) >= 1e4:
        return f"{value / 1e6:.4g}M" if abs(value) >= 1e6 else f"{value / 1e3:.4g}k"
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def _steps_axis(first: float, last: float) -> list[str]:
    ticks = [t for t in nice_ticks(last, 4) if t >= first] or [last]
    scale = (WIDTH - LEFT - RIGHT) / max(last - first, 1)
    y = HEIGHT - BOTTOM + 16
    style = 'text-anchor="middle" fill="var(--muted, #888)"'
    return [f'<text x="{LEFT + (t - first) * scale:.1f}" y="{y}" {style}>{compact(t)}</text>' for t in ticks]


def _stage_marks(stages: Sequence[tuple[int, str]], first: float, last: float) -> list[str]:
    """A dashed line where a stage begins (not the first one), with the stage's name."""
    scale = (WIDTH - LEFT - RIGHT) / max(last - first, 1)
    return [
        f'<path d="M{LEFT + (step - first) * scale:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="var(--muted, #888)" '
        f'stroke-dasharray="3 3"/><text x="{LEFT + (step - first) * scale + 4:.1f}" y="{TOP + 10}" fill="var(--muted, #888)">'
        f'{escape(name)}</text>' for step, name in stages[1:]
    ]


def error_histogram(error: Float[np.ndarray, "v"], weights: Float[np.ndarray, "v"], maximum: float, unit: str = "") -> str:
    """How much of a surface has which error: bars over the error map's colour bar; the last one holds all above ``maximum``.

    Args:
        error: of each vertex, finite.
        weights: of each vertex: the area around it.
        maximum: of the colour map, positive.
        unit: of the error.
    """
    bars, width, bottom = 60, 1040, 150
    step = width / bars
    index = np.minimum(error / maximum * (bars - 1), bars - 1).astype(int).clip(0)
    share = np.bincount(index, weights, bars) / max(weights.sum(), 1e-300)
    heights = share / max(share.max(), 1e-300) * (bottom - 30)
    colors = colorize(np.append((np.arange(bars - 1) + 0.5) / (bars - 1), 1.0), 1.0)
    muted = 'fill="var(--muted, #888)"'
    parts = [
        f'<svg class="histogram" viewBox="0 0 {width} {bottom + 38}" role="img" aria-label="Share of the surface by error">',
        f'<text x="0" y="12" {muted}>share of the surface</text><text x="{width}" y="12" text-anchor="end" {muted}>'
        f'last bar: more than {maximum:.3g} {escape(unit)}</text>'
    ]
    for x, height, color, part in zip(np.arange(bars) * step, heights, colors, share):
        parts.append(f'<g fill="#{bytes(color).hex()}"><title>{100 * part:.1f} %</title><rect x="{x + 0.5:.1f}" '
                     f'y="{bottom - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}" stroke="var(--line, #8884)"/>'
                     f'<rect x="{x:.1f}" y="{bottom + 4}" width="{step + 0.5:.1f}" height="11"/></g>')
    ticks = nice_ticks(maximum, 6)
    for tick in ticks:
        x, anchor = tick / maximum * (bars - 1) * step, "start" if tick == 0 else "middle"
        label = f"{tick:g} {escape(unit)}".rstrip() if tick == ticks[-1] else f"{tick:g}"
        parts.append(f'<text x="{x:.1f}" y="{bottom + 31}" text-anchor="{anchor}" {muted}>{label}</text>')
    return "".join(parts) + "</svg>"
