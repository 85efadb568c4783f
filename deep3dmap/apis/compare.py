"""Metrics of reconstructed meshes against true shapes: one pair of files, or two folders matched by name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh

from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization, read_normalization, read_split
from deep3dmap.datasets.shapes.shape_pairs import Pair, Pairs, find_pairs, load_surface
from deep3dmap.errors import DataError
from deep3dmap.evaluation.point_sets import CHAMFER_POINTS, EMD_POINTS
from deep3dmap.evaluation.shape_tables import ShapeTable
from deep3dmap.evaluation.shapes import COMPLETION_DISTANCE, shape_metrics
from deep3dmap.geometry.sdf_sampling import unit_sphere
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.io.reading import output_folder
from deep3dmap.io.workers import DONE, default_processes, run_tasks
from deep3dmap.ranges import Count, Positive, Whole

TIMEOUT = 600.0
MUCH_LARGER = 10.0


class Task(NamedTuple):
    """A pair to measure in a worker process.

    Attributes:
        pair: pair of files.
        normalization: of the shape, if its reconstruction lies in the normalised frame.
        normalised: whether lengths are measured in normalised units.
        options: of :func:`~deep3dmap.evaluation.shapes.shape_metrics`.
    """

    pair: Pair
    normalization: Path | None
    normalised: bool
    options: dict


def compare(predicted: str | Path,
            true: str | Path,
            output: str | Path | None = None,
            *,
            split: str | Path | None = None,
            normalization: str | Path | None = None,
            normalised: bool = False,
            thresholds: Sequence[Positive] = (),
            completion_distance: Positive = COMPLETION_DISTANCE,
            samples: Count = CHAMFER_POINTS,
            emd_samples: Whole = EMD_POINTS,
            seed: Whole = 0,
            processes: Count | None = None,
            log: Callable[[str], object] = print) -> ShapeTable:
    """Metrics of meshes against true shapes: two files, or two folders whose files have the same names.

    True shapes without a reconstruction, and reconstructions that are empty or can't be read, are listed as failures;
    reconstructions without a true shape are listed in the notes.

    Args:
        predicted: mesh, or folder of meshes.
        true: mesh or surface samples (PLY without faces), or folder of them with the same names.
        output: folder for ``shapes.csv`` and ``summary.json`` (default: only print).
        split: file that names the shapes of the folders to compare (default: all). In DeepSDF's form.
        normalization: NormalizationParameters (folder, or one file): meshes lie in that frame. In DeepSDF's layout, the folder
            that holds the shapes' files; DeepSDF's code leaves reconstructions in the normalised frame.
        normalised: lengths in units of the shapes' normalisation. ``normalization``'s, or else the true mesh's.
        thresholds: distances for precision, recall and F-score.
        completion_distance: at which a true point counts as completed.
        samples: points on each surface.
        emd_samples: points for the earth mover's distance; 0 skips it.
        seed: of the point sampling.
        processes: parallel processes (default: one for each core).
        log: prints a line.

    Raises:
        DataError: if nothing can be compared; for two files, if one of them can't be measured.
        OSError: if the output can't be written; checked before anything is measured.
    """
    found, unknown = find_pairs(predicted, true), []
    if split is not None:
        found, unknown = _only(found, split, Path(true))
    if output is not None:
        output_folder(output)
    options = dict(thresholds=tuple(thresholds), completion_distance=completion_distance, samples=samples,
                   emd_samples=emd_samples, seed=seed)  # yapf: disable
    tasks = [Task(pair, _parameters(normalization, pair), normalised, options) for pair in found.pairs]
    table = ShapeTable()
    if Path(true).is_dir():
        _measure_all(table, found, tasks, processes or default_processes(), log)
    else:
        _add(table, tasks[0], measure_pair(tasks[0]))
    for name in found.missing:
        table.fail(name, f"no reconstruction in {predicted}")
    for name in unknown:
        table.fail(name, f"it is in the split, but there is no true shape of that name in {true}")
    for name in found.extra:
        table.notes[name] = f"skipped: there is no true shape of that name in {true}"
    if output is not None:
        table.write(output)
    return table


def _only(found: Pairs, split: str | Path, true: Path) -> tuple[Pairs, list[str]]:
    """The found pairs of a split, and the names of its shapes that are missing.

    A folder may hold data sets, the classes of one, or the shapes of one class.
    """
    if not true.is_dir():
        raise DataError(f"--split {split}: names shapes of folders, but {true} is a file")
    known, wanted, unknown = {pair.name for pair in found.pairs} | {*found.missing}, set(), []
    for shape in read_split(split):
        name = next((name for name in (str(shape), f"{shape.category}/{shape.name}", shape.name) if name in known), None)
        unknown += [str(shape)] if name is None else []
        wanted |= {name}
    pairs = [pair for pair in found.pairs if pair.name in wanted]
    return Pairs(pairs, [name for name in found.missing if name in wanted], []), unknown


def measure_pair(task: Task) -> tuple[dict, str]:
    """Metrics of a pair, and a warning if the frames don't match."""
    predicted, true, scale = load_mesh(task.pair.predicted), load_surface(task.pair.true), 1.0
    if task.normalization is not None:
        frame = read_normalization(task.normalization)
        predicted = trimesh.Trimesh(frame.undo(np.asarray(predicted.vertices)), predicted.faces, process=False)
        scale = frame.scale
    elif task.normalised:
        scale = _own_normalization(true, task.pair.true).scale
    figures = shape_metrics(predicted, true, scale=scale if task.normalised else 1.0, **task.options)
    return figures, _frame_warning(predicted, true)


def _own_normalization(true, path: Path) -> Normalization:
    if not isinstance(true, trimesh.Trimesh):
        raise DataError(f"{path}: holds points and no faces, so its normalisation is not known; give the folder of "
                        "NormalizationParameters that belongs to them with --normalization")
    return Normalization(*unit_sphere(np.asarray(true.vertices), np.asarray(true.faces)))


def _parameters(normalization: str | Path | None, pair: Pair) -> Path | None:
    if normalization is None or Path(normalization).is_file():
        return None if normalization is None else Path(normalization)
    return Path(normalization, f"{pair.name}.npz")


def _measure_all(table: ShapeTable, found: Pairs, tasks: list[Task], processes: int, log) -> None:
    """Measure every pair; a failure doesn't affect the others."""
    log(f"{len(tasks)} shapes to compare" + "".join(f", {len(names)} {what}"
                                                    for names, what in ((found.missing, "without a reconstruction"),
                                                                        (found.extra, "without a true shape")) if names))
    outcomes = dict(run_tasks(measure_pair, tasks, processes, TIMEOUT))
    for number, task in enumerate(tasks):
        if outcomes[number].kind == DONE:
            _add(table, task, outcomes[number].value)
        else:
            table.fail(task.pair.name, outcomes[number].reason)


def _add(table: ShapeTable, task: Task, measured: tuple[dict, str]) -> None:
    figures, warning = measured
    table.add(task.pair.name, figures)
    if warning:
        table.notes[task.pair.name] = warning


def _frame_warning(predicted: trimesh.Trimesh, true) -> str:
    """Warning if the two don't seem to be in the same frame; else empty."""
    (low, high), points = predicted.bounds, true.vertices if isinstance(true, trimesh.Trimesh) else true
    true_low, true_high = points.min(0), points.max(0)
    sizes = [float(np.linalg.norm(extent)) for extent in (high - low, true_high - true_low)]
    if (low > true_high).any() or (true_low > high).any():
        boxes = [np.round(box, 4).tolist() for box in (low, high, true_low, true_high)]
        return (f"its box ({boxes[0]} to {boxes[1]}) doesn't overlap the true one ({boxes[2]} to {boxes[3]}): are both in the "
                "same frame?")
    ratio = sizes[0] / sizes[1] if sizes[1] else np.inf
    if not 1 / MUCH_LARGER < ratio < MUCH_LARGER:
        return f"it is {ratio:.3g} times as large as the true shape: are both in the same units?"
    return ""
