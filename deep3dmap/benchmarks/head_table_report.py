"""Output of the table of heads: runs as CSV, means over heads beside the paper's as Markdown, error maps, learning curves.

The paper's figures: Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021, the table of errors on
H3DS by number of views (face / head, millimetres, to the nearest vertex of the prediction).
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deep3dmap.benchmarks.head_run import ERROR_MAP, HeadRun
from deep3dmap.io.files import csv_text, replacing, write_atomically
from deep3dmap.visualization.pictures import label_strip, save_image

TABLE, MARKDOWN, PICTURES, CURVE, CURVE_PICTURE = "table.csv", "table.md", "pictures.png", "curve.csv", "curve.png"
NAMES = {"idr": "IDR", "h3dnet": "H3D-Net"}
PAPER = {
    "idr": {3: (2.79, 14.58), 4: (1.88, 8.99), 8: (1.83, 8.34), 16: (1.31, 6.37), 32: (1.25, 5.71)},
    "h3dnet": {3: (1.33, 10.52), 4: (1.35, 7.71), 8: (1.18, 6.45), 16: (1.05, 5.36), 32: (1.03, 5.25)},
}  # yapf: disable
KINDS = {"head": "Heads of the face model", "bust": "Busts"}
MEASURES = {
    ("with_scale", "vertices"): "to the nearest vertex, alignment with scale: the metric of H3DS",
    ("with_scale", "surface"): "to the surface, alignment with scale",
    ("rigid", "vertices"): "to the nearest vertex, rigid alignment",
    ("rigid", "surface"): "to the surface, rigid alignment",
}
PICTURE_VIEWS = 3
Finished = Mapping[HeadRun, Mapping]


def write_table(output: Path, runs: Sequence[HeadRun], finished: Finished, failures: Mapping[str, str]) -> str:
    """Write ``table.csv`` and ``table.md``; returns the Markdown."""
    output.mkdir(parents=True, exist_ok=True)
    write_atomically(output / TABLE, table_csv(runs, finished, failures).encode())
    text = table_markdown(runs, finished, failures)
    write_atomically(output / MARKDOWN, text.encode())
    return text


def table_csv(runs: Sequence[HeadRun], finished: Finished, failures: Mapping[str, str]) -> str:
    """A row for each run, then mean and standard deviation over the heads of a kind for each method and number of views."""
    rows = [_run_row(run, finished.get(run), failures) for run in runs]
    for kind, method, views in dict.fromkeys((run.kind, run.method, run.views) for run in runs):
        group = [
            _figures(found) for run, found in finished.items() if (run.kind, run.method, run.views) == (kind, method, views)
        ]
        for name, function in (("mean", statistics.fmean), ("std", statistics.pstdev)):
            summary = {key: f"{function(values):.4f}" for key in _figure_names() if (values := _known(group, key))}
            rows.append(dict(row=name, method=method, kind=kind, views=views, runs=len(group)) | summary)
    return csv_text(
        ["row", "method", "kind", "head", "views", "state", "runs", *_figure_names(), "seconds", "steps", "reason"], rows)


def _run_row(run: HeadRun, found: Mapping | None, failures: Mapping[str, str]) -> dict:
    row = dict(row="run", method=run.method, kind=run.kind, head=run.head, views=run.views)
    if found is None:
        return row | dict(state="failed" if run.name in failures else "not done", reason=failures.get(run.name, ""))
    figures = {key: f"{value:.4f}" for key, value in _figures(found).items() if value is not None}
    return row | figures | dict(state="done", seconds=f"{found['seconds']:.1f}", steps=found["steps"])


def _figure_names() -> list[str]:
    return [f"{region}_{to}_{alignment}" for alignment, to in MEASURES for region in ("face", "head")]


def _figures(found: Mapping) -> dict[str, float | None]:
    """Means of one run, or of one point of its curve, by column name."""
    return {f"{region}_{to}_{alignment}": found["figures"][alignment][f"{region}_{to}_mean"]
            for alignment, to in MEASURES for region in ("face", "head")}  # yapf: disable


def _known(group: Sequence[Mapping], key: str) -> list[float]:
    return [figures[key] for figures in group if figures[key] is not None]


def table_markdown(runs: Sequence[HeadRun], finished: Finished, failures: Mapping[str, str]) -> str:
    """A table for each kind of head and each measure: methods x views, ``face / head`` in millimetres, means over heads."""
    parts = []
    for kind in dict.fromkeys(run.kind for run in runs):
        chosen = [run for run in runs if run.kind == kind]
        heads = list(dict.fromkeys(run.head for run in chosen))
        parts.append(f"## {KINDS.get(kind, f'Heads with {kind}')}\n\nFace / head, millimetres, means over {len(heads)}: "
                     f"{', '.join(heads)}; {chosen[0].minutes:g} minutes a run on {chosen[0].threads} threads.")
        for measure, title in MEASURES.items():
            paper = kind == "head" and measure == ("with_scale", "vertices")
            parts.append(f"Distances {title}.\n\n{_measure_table(chosen, finished, failures, measure, paper)}")
    failed = {run.name: failures[run.name] for run in runs if run.name in failures}
    if failed:
        parts.append("\n".join([f"## {len(failed)} failed", "", *(f"- `{name}`: {why}" for name, why in failed.items())]))
    return "\n\n".join(parts) + "\n"


def _measure_table(runs: Sequence[HeadRun], finished: Finished, failures: Mapping[str, str], measure: tuple[str, str],
                   paper: bool) -> str:  # yapf: disable
    views, methods = (list(dict.fromkeys(getattr(run, key) for run in runs)) for key in ("views", "method"))
    rows = [["", *(f"{count} view{'s' * (count > 1)}" for count in views)], ["---"] * (len(views) + 1)]
    for method in methods:
        mine = [run for run in runs if run.method == method]
        rows.append([NAMES[method], *(_cell([run for run in mine if run.views == count], finished, failures, measure)
                                      for count in views)])  # yapf: disable
    for method in methods if paper else ():
        published = [PAPER[method].get(count) for count in views]
        rows.append([f"{NAMES[method]} in the paper, on H3DS", *(f"{p[0]:.2f} / {p[1]:.2f}" if p else "-" for p in published)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(runs: Sequence[HeadRun], finished: Finished, failures: Mapping[str, str], measure: tuple[str, str]) -> str:
    """``face / head`` of the runs of a method and a number of views, and the number of missing runs."""
    alignment, to = measure
    group = [_figures(finished[run]) for run in runs if run in finished]
    means = [statistics.fmean(values) if (values := _known(group, f"{region}_{to}_{alignment}")) else None
             for region in ("face", "head")]  # yapf: disable
    failed = sum(run.name in failures for run in runs)
    missing = len(runs) - len(group) - failed
    notes = [f"{number} {what}" for number, what in ((failed, "failed"), (missing, "not done")) if number]
    text = "-" if None in means else f"{means[0]:.2f} / {means[1]:.2f}"
    return text + (f" ({', '.join(notes)})" if notes else "")


def write_pictures(path: Path, folder: Path, finished: Finished) -> None:
    """A sheet of the runs' error maps, a row for each head and a column for each method, of three views (or the fewest)."""
    counts = {run.views for run in finished}
    views = PICTURE_VIEWS if PICTURE_VIEWS in counts else min(counts, default=0)
    rows = []
    for head in dict.fromkeys(run.head for run in finished):
        maps = {_title(run, found): _picture(folder / run.name / ERROR_MAP) for run, found in finished.items()
                if (run.head, run.views) == (head, views) and (folder / run.name / ERROR_MAP).is_file()}  # yapf: disable
        rows += [label_strip(maps)] if maps else []
    if rows:
        width = max(row.shape[1] for row in rows)
        save_image(path, np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
                                         for row in rows]))  # yapf: disable


def _title(run: HeadRun, found: Mapping) -> str:
    figures = found["figures"]["with_scale"]
    return (f"{NAMES[run.method]}, {run.views} view{'s' * (run.views > 1)}: face {figures['face_vertices_mean']:.2f}, head "
            f"{figures['head_vertices_mean']:.2f} mm")


def _picture(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def write_curve(output: Path, finished: Finished) -> str:
    """Write ``curve.csv`` and ``curve.png``: errors against the seconds since a run began; returns the CSV."""
    output.mkdir(parents=True, exist_ok=True)
    rows = [dict(method=run.method, head=run.head, views=run.views, seconds=f"{point['seconds']:.1f}") |
            {key: f"{value:.4f}" for key, value in _figures(point).items() if value is not None}
            for run, found in finished.items() for point in found["curve"]]  # yapf: disable
    text = csv_text(["method", "head", "views", "seconds", *_figure_names()], rows)
    write_atomically(output / CURVE, text.encode())
    if rows:
        _draw_curves(output / CURVE_PICTURE, finished)
    return text


def _draw_curves(path: Path, finished: Finished) -> None:
    from matplotlib.figure import Figure  # takes a second; nothing else here needs it
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    for axis, region in zip(figure.subplots(1, 2), ("face", "head")):
        for run, found in finished.items():
            points = [(point["seconds"], _figures(point)[f"{region}_vertices_with_scale"]) for point in found["curve"]]
            axis.plot(*zip(*points), marker="o", markersize=4, linewidth=1.2, label=NAMES[run.method])
            axis.set_title(f"{region}, {run.head}, {run.views} views", fontsize=9)
        axis.set(xlabel="seconds", ylabel="error, mm", xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=8)
    with replacing(path) as part:
        figure.savefig(part, dpi=100, format="png")
