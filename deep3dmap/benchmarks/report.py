"""Reports of the benchmark's JSON lines: tables for the docs, and a plot of cost against work."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from PIL import Image

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.reading import read_text

KEYS = ("name", "work", "unit", "cpu_seconds", "wall_seconds", "peak_mib")
COLUMNS = {"cpu_seconds": "CPU seconds", "wall_seconds": "seconds", "gflop": "GFLOP", "matmul_share": "share of the limit",
           "evaluations": "evaluations", "covered": "pixels covered", "fragments": "faces in pixels",
           "memory": "MiB above the idle process"}  # yapf: disable
MARKERS = "os^Dvx+*"


def line_writer(path: str | Path | None) -> Callable[[str], None]:
    """A function that prints lines, and also writes them to a new file if a path is given.

    Raises:
        OSError: if the file can't be written.
    """
    if path is not None:
        Path(path).write_text("", encoding="utf-8")

    def write(line: str) -> None:
        print(line, flush=True)
        if path is not None:
            with open(path, "a", encoding="utf-8") as file:
                file.write(line + "\n")

    return write


def read_results(path: str | Path) -> list[dict]:
    """Measurements from a file of JSON lines, as ``deep3dmap benchmark`` prints them.

    Raises:
        DataError: if the file can't be read, holds none, or a line isn't a measurement.
    """
    lines = read_text(Path(path)).splitlines()
    results = [_result(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not results:
        raise DataError(f"{path}: holds no measurement; `deep3dmap benchmark --output {path}` writes them")
    return results


def _result(line: str, where: str) -> dict:
    try:
        result = json.loads(line)
    except ValueError:
        result = None
    missing = [key for key in KEYS if key not in result] if isinstance(result, dict) else KEYS
    if missing:
        raise DataError(f"{where}: expected a JSON object with {', '.join(KEYS)}; it lacks {', '.join(missing)}")
    return result


def tables(results: Iterable[dict]) -> str:
    """The measurements as Markdown, one table for each kind of work."""
    pages = []
    for name in dict.fromkeys(r["name"] for r in results):
        rows = [r for r in results if r["name"] == name]
        if "gflop_per_second" in rows[0]:
            pages += [f"{name}: {r['gflop_per_second']:,.0f} GFLOP/s, {r['threads']} threads\n" for r in rows]
        else:
            pages.append("\n".join(_table(rows)) + "\n")
    return "\n".join(pages)


def _table(rows: Sequence[dict]) -> list[str]:
    keys = [key for key in COLUMNS if any(_cell(r, key) for r in rows)]
    head = [f"{rows[0]['name']}, {rows[0]['unit']}", "network", "variant", *(COLUMNS[key] for key in keys)]
    cells = [[_work(r), r["network"], r["variant"], *(_cell(r, key) for key in keys)] for r in rows]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *cells)]


def _work(result: dict) -> str:
    return f"{result['work']:,}" + " (extrapolated)" * ("extrapolated" in result)


def _cell(result: dict, key: str) -> str:
    if key == "memory":  # not measured if extrapolated
        return "" if "extrapolated" in result else f"{_memory(result):,.0f}"
    value = result.get(key)
    if value is None:
        return ""
    return f"{100 * value:.0f} %" if key == "matmul_share" else f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"


def _memory(result: dict) -> float:
    return result["peak_mib"] - result["base_mib"]


def plot(results: Iterable[dict], path: str | Path) -> None:
    """Plot CPU seconds and peak memory against work, both axes logarithmic; one column for each unit of work.

    Args:
        results: measurements. Those with a single amount of work are skipped.
        path: image file; its suffix sets the format (``.png``, ``.svg``, ``.pdf``).

    Raises:
        ConfigError: if it can't be written, or there is nothing to plot.
    """
    from matplotlib.figure import Figure  # takes a second; nothing else here needs it
    curves = _curves(results)
    units = list(dict.fromkeys(unit for unit, _ in curves))
    if not units:
        raise ConfigError(f"{path}: nothing to plot; a curve needs at least two amounts of the same work")
    figure = Figure(figsize=(4.6 * len(units), 7.8), layout="constrained")
    axes = figure.subplots(2, len(units), squeeze=False)
    for column, unit in enumerate(units):
        for number, (label, rows) in enumerate((label, rows) for (u, label), rows in curves.items() if u == unit):
            _draw(axes[0, column], label, number, [(r["work"], r["cpu_seconds"]) for r in rows])
            measured = [(r["work"], _memory(r)) for r in rows if "extrapolated" not in r and _memory(r) > 0]
            _draw(axes[1, column], label, number, measured)
        for axis, text in zip(axes[:, column], ("CPU seconds", "MiB above the idle process")):
            axis.set(xscale="log", yscale="log", xlabel=unit, ylabel=text)
            axis.set_xticks(amounts := sorted({r["work"]
                                               for (u, _), rows in curves.items() if u == unit for r in rows}), amounts)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[0, column].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7, frameon=False)
    try:
        figure.savefig(path, dpi=80)
        if Path(path).suffix.lower() == ".png":  # a small palette makes a quarter of the file
            with Image.open(path) as picture:
                few = picture.convert("RGB").quantize(64)
            few.save(path, optimize=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: can't write the plot: {error}") from None


def _curves(results: Iterable[dict]) -> dict[tuple[str, str], list[dict]]:
    """Measurements of growing work by unit and label, ascending."""

    def key(result: dict) -> tuple[str, str]:
        return result["unit"], ", ".join(result[k] for k in ("name", "network", "variant") if k in result)

    groups = {k: sorted(rows, key=lambda r: r["work"]) for k, rows in groupby(sorted(results, key=key), key)}
    return {k: rows for k, rows in groups.items() if len(rows) > 1}


def _draw(axis, label: str, number: int, points: Sequence[tuple[float, float]]) -> None:
    if points:
        axis.plot(*zip(*points), marker=MARKERS[number % len(MARKERS)], markersize=4, linewidth=1.2, label=label)
