"""The table of H3D-Net's paper on synthetic heads: methods x heads x numbers of photographs, each in a separate process.

Finished runs are not repeated, failures are logged and don't stop the others; see docs/h3dnet.md.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from deep3dmap.apis.reconstruct import reserve
from deep3dmap.apis.work_folder import locked_folder
from deep3dmap.benchmarks import head_run
from deep3dmap.benchmarks import head_table_report as report
from deep3dmap.benchmarks.head_run import METRICS, HeadRun, changed_settings, only_measured_otherwise, read_metrics
from deep3dmap.datasets.heads.ict_face.heads import SPLITS
from deep3dmap.datasets.heads.landmarks import read_landmark_file
from deep3dmap.datasets.synthetic.head_accessories import ACCESSORIES
from deep3dmap.datasets.synthetic.head_shapes import bust
from deep3dmap.engine.hooks.log import duration
from deep3dmap.engine.launching import choose_device
from deep3dmap.engine.precision import AUTO, choose_amp
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.cards import find_card
from deep3dmap.interrupts import termination_as_interrupt
from deep3dmap.io.files import write_atomically
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.workers import DONE, default_processes, run_tasks
from deep3dmap.ranges import AtLeastTwo, Count, Positive, Whole
from deep3dmap.registry import nearest
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

HEADS = tuple(f"test_{number:05d}" for number in range(10))
VIEWS = (3, 4, 8, 16, 32)
OUTPUT = "output.txt"
MODEL = "ict_face"
CURVE_PARTS = (1 / 256, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4)
"""Shares of the training time at which to save states for a learning curve."""
SPARE_SECONDS = 900.0
"""Time limit of a run in addition to twice its minutes: capture, mesh and metrics on a busy machine."""

#: Does runs in their folders in parallel; yields index and failure reason (or nothing) as they finish.
Attempt = Callable[[Sequence[HeadRun], Path, int], Iterable[tuple[int, str]]]


def head_table(output: str | Path,
               *,
               heads: Sequence[str] | None = None,
               busts: Sequence[tuple[str | Path, str | Path]] = (),
               views: Sequence[Count] = VIEWS,
               methods: Sequence[str] = ("idr", "h3dnet"),
               minutes: Positive = 5.0,
               processes: Count | None = None,
               seed: Whole = 0,
               amp: bool | Literal["auto"] = "auto",
               rays: Count = 1024,
               resolution: AtLeastTwo = 256,
               device: str = "auto",
               curve: bool = False,
               overwrite: bool = False,
               attempt: Attempt | None = None,
               log: Callable[[str], object] = print) -> dict[str, str]:
    """Errors of methods on synthetic heads by number of photographs.

    Writes ``METHOD/HEAD/VIEWS/`` for each run, ``table.csv``, ``table.md`` and ``pictures.png`` into the folder; with
    ``curve`` instead ``curve.csv`` and ``curve.png`` of the first head and number of views, and its runs into ``curve/``.

    Args:
        output: folder to write to; finished runs there with the same settings are not repeated.
        heads: test_00000, or hat:test_00000 (hair, glasses); default: ten test heads, none with a bust.
        busts: a mesh in millimetres and its six landmarks.
        views: numbers of photographs.
        methods: names of methods.
        minutes: total time of each run.
        processes: parallel runs, which share the cores evenly (default: one for each two cores).
        seed: seed of the training.
        amp: train in mixed precision (bfloat16): on (as ``--amp`` alone), off, or auto: as the finished runs in the folder, or
            else if it is faster.
        rays: rays per step, for all methods.
        resolution: resolution of the meshes.
        device: auto, cpu, cuda ...
        curve: instead of the table: errors against seconds, of the first head and views.
        overwrite: repeat runs in this folder that were finished with other settings.
        attempt: function that does the runs (default: each in a separate process).
        log: prints a line.

    Returns:
        Names of failed runs, with reasons.

    Raises:
        ConfigError, DataError: for invalid arguments, a folder whose finished runs have other settings, or one that is in
            use, before anything is run.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; finished runs are in the table.
    """
    output, cores = Path(output), default_processes()
    processes = max(1, cores // 2) if processes is None else processes
    choose_device(device)
    folder = output / "curve" if curve else output
    amp = _resolve_amp(folder, device, log) if amp == AUTO else amp
    heads = (() if busts else HEADS) if heads is None else heads
    options = dict(minutes=minutes, seed=seed, amp=amp, rays=rays, resolution=resolution, device=device)
    runs = plan(heads, busts, views, methods, threads=max(1, cores // processes), **options)
    if curve:
        first = runs[0]
        runs = [_with_snapshots(run) for run in runs if (run.head, run.views) == (first.head, first.views)]
    if any(run.kind != "bust" for run in runs):
        resolve_data(MODEL)
    if not overwrite:
        _check_folder(folder, runs)
    failures: dict[str, str] = {}
    with locked_folder(output):
        try:
            with termination_as_interrupt():
                run_all(runs, folder, processes, attempt or in_processes, failures, log)
        finally:
            finished = {run: figures for run in runs if (figures := finished_run(run, folder)) is not None}
            _write(output, folder, runs, finished, failures, curve, log)
    return failures


def _write(output: Path, folder: Path, runs: Sequence[HeadRun], finished: Mapping, failures: Mapping[str, str], curve: bool,
           log: Callable[[str], object]) -> None:  # yapf: disable
    if curve:
        log(report.write_curve(output, finished))
    else:
        log(report.write_table(output, runs, finished, failures))
        report.write_pictures(output / report.PICTURES, folder, finished)


def plan(heads: Sequence[str], busts: Sequence[tuple[str | Path, str | Path]], views: Sequence[int], methods: Sequence[str],
         **options) -> list[HeadRun]:  # yapf: disable
    """All runs, ordered by head, so that an interrupted table is complete for some heads.

    Raises:
        ConfigError: if there is nothing to do, or a name or number is invalid.
        DataError: if a bust's files can't be read.
    """
    if not heads and not busts:
        raise ConfigError("no heads: give --heads, or a mesh with its landmarks as --bust")
    for given, what in ((methods, "methods"), (views, "views")):
        if not given:
            raise ConfigError(f"no {what}: give at least one with --{what}")
    for method in methods:
        find_card(method, "heads")
    subjects = [*(_head(name) for name in heads), *(_bust(*bust) for bust in busts)]
    names = [subject[0] for subject in subjects]
    for given in (names, list(views), list(methods)):
        if twice := next((each for each in given if given.count(each) > 1), None):
            raise ConfigError(f"'{twice}' is given twice")
    sums = {method: head_run.config_checksum(method) for method in methods}
    return [HeadRun(method, name, kind, count, capture, config=sums[method], **options)
            for name, kind, capture in subjects for count in views for method in methods]  # yapf: disable


def _resolve_amp(folder: Path, device: str, log: Callable[[str], object]) -> bool:
    """Resolve ``amp=auto``: as in the finished runs of a folder, for comparability, or else the faster one."""
    finished = (read_metrics(path.parent) for path in sorted(folder.glob(f"*/*/*/{METRICS}")))
    amp = next((each["settings"]["amp"] for each in finished if each), None)
    amp, why = choose_amp(choose_device(device)) if amp is None else (amp, f"as the finished runs in {folder}")
    log(f"amp=auto: {why}")
    return amp


def _head(text: str) -> tuple[str, str, dict]:
    """Name, kind and capture of ``test_00000`` or ``hat:test_00000``."""
    accessory, _, head = text.rpartition(":")
    if accessory and accessory not in ACCESSORIES:
        raise ConfigError(f"--heads {text}: there is no accessory '{accessory}': {nearest(accessory, ACCESSORIES)}")
    if not re.fullmatch(rf"({'|'.join(SPLITS)})_[0-9]+", head):
        raise ConfigError(
            f"--heads {text}: expected a split ({', '.join(SPLITS)}) and a number, such as test_00000, or with an "
            "accessory hat:test_00000")
    if not accessory:
        return head, "head", dict(head=head)
    return f"{accessory}_{head}", accessory, dict(head=head, accessory=accessory)


def _bust(mesh: str | Path, landmarks: str | Path) -> tuple[str, str, dict]:
    """Name, kind and capture of a mesh with its landmarks."""
    if not Path(mesh).is_file():
        raise DataError(f"--bust {mesh}: no such mesh")
    points = read_landmark_file(landmarks).landmarks or {}
    if missing := [name for name in HEAD_LANDMARKS if name not in points]:
        raise ConfigError(f"--bust {mesh}: {landmarks} lacks the landmark{'s' * (len(missing) > 1)} {', '.join(missing)}; all "
                          "six are needed to place the head and to measure it")
    capture = dict(mesh=str(Path(mesh).resolve()), landmarks={name: points[name].tolist() for name in HEAD_LANDMARKS})
    try:
        bust(**capture, unit_millimetres=1.0)
    except DataError as error:
        raise DataError(f"--bust {mesh} {landmarks}: {error}") from None
    return Path(mesh).stem, "bust", capture


def _with_snapshots(run: HeadRun) -> HeadRun:
    training = run.minutes - reserve(run.minutes) / 60
    return HeadRun(**vars(run) | dict(snapshots=tuple(round(part * training, 4) for part in CURVE_PARTS)))


def finished_run(run: HeadRun, output: Path) -> dict | None:
    """Metrics of a finished run with these settings, or None."""
    found = read_metrics(output / run.name)
    return found if found.get("settings") == run.settings() else None


def _check_folder(folder: Path, runs: Sequence[HeadRun]) -> None:
    """Refuse to replace finished runs with other settings."""
    others = {run.name: keys for run in runs if not only_measured_otherwise(run, folder / run.name)
              if (found := read_metrics(folder / run.name)) and (keys := changed_settings(run, found))}  # yapf: disable
    if others:
        keys = ", ".join(sorted(set().union(*others.values())))
        raise ConfigError(
            f"{folder}: {len(others)} of the runs were finished with other settings (the first is {min(others)}; they "
            f"differ in {keys}); choose another folder, or use --overwrite to repeat them")


def run_all(runs: Sequence[HeadRun], output: Path, processes: int, attempt: Attempt, failures: dict[str, str],
            log: Callable[[str], object]) -> None:  # yapf: disable
    """Do the unfinished runs in parallel; failures are logged and added by run name."""
    todo = [run for run in runs if finished_run(run, output) is None]
    if len(todo) < len(runs):
        log(f"{len(runs) - len(todo)} of {len(runs)} runs are finished already")
    start = time.monotonic()
    for run in todo:
        _begin(run, output / run.name)
    for done, (number, reason) in enumerate(attempt(todo, output, processes), 1):
        run = todo[number]
        if not reason and finished_run(run, output) is None:
            reason = f"it wrote no {METRICS}"
        if reason:
            failures[run.name] = reason
        log(f"{done}/{len(todo)} {run.name}: {f'failed: {reason}' if reason else _summary_line(run, output)} "
            f"({duration(time.monotonic() - start)})")  # yapf: disable


def _summary_line(run: HeadRun, output: Path) -> str:
    figures = finished_run(run, output)["figures"]["with_scale"]
    return f"face {figures['face_vertices_mean']:.2f}, head {figures['head_vertices_mean']:.2f} mm"


def _begin(run: HeadRun, folder: Path) -> None:
    """Prepare a run's folder: remove an earlier result, unless it is only measured again."""
    folder.mkdir(parents=True, exist_ok=True)
    if not only_measured_otherwise(run, folder):
        (folder / METRICS).unlink(missing_ok=True)
    write_atomically(folder / head_run.SETTINGS, (json.dumps(run.settings(), indent=2) + "\n").encode())


def in_processes(runs: Sequence[HeadRun], output: Path, processes: int) -> Iterator[tuple[int, str]]:
    """Do runs in separate processes; yields index and failure reason, or nothing."""
    folders = [output / run.name for run in runs]
    if not runs:
        return
    limit = SPARE_SECONDS + 120 * max(run.minutes for run in runs)
    logs = [folder / OUTPUT for folder in folders]
    for log in logs:
        log.unlink(missing_ok=True)
    options = dict(threads=runs[0].threads, fresh=True, logs=logs)
    for number, outcome in run_tasks(head_run.run_in, [str(folder) for folder in folders], processes, limit, **options):
        yield number, "" if outcome.kind == DONE else outcome.reason
