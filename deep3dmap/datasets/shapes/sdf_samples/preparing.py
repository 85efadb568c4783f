"""Converts folders of meshes to DeepSDF's layout, in several processes, resuming earlier runs."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.finding import MeshFile
from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization, ShapeName
from deep3dmap.datasets.shapes.sdf_samples.report import ACCEPTED, FAILED, REJECTED, Report
from deep3dmap.errors import DataError
from deep3dmap.geometry.sdf_sampling import Plan, Sampling, sample_sdf, unit_sphere
from deep3dmap.io.files import remove_parts, write_atomically
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.io.reading import exists, sha256_of
from deep3dmap.io.workers import DONE, REFUSED, Outcome, run_tasks

STATUS = {DONE: ACCEPTED, REFUSED: REJECTED}
SAVE_EVERY = 30.0  # seconds
SHOWN = 5
FILES = (layout.samples_path, layout.surface_path, layout.normalization_path)
PLY_HEADER = """ply
format binary_little_endian 1.0
element vertex {}
property double x
property double y
property double z
end_header
"""


class Options(NamedTuple):
    """How each mesh is sampled.

    Attributes:
        plan: number and distribution of the samples.
        surface_count: points on the surface.
        seed: of all draws; each shape's own seed is derived from it and its name.
        max_faces: a mesh with more is rejected.
    """

    plan: Plan
    surface_count: int
    seed: int
    max_faces: int

    def recorded(self) -> dict:
        """The options that must be equal for all samples of a data set."""
        return dict(samples=self.plan.count, variances=self.plan.variances, resolution=self.plan.resolution,
                    surface_samples=self.surface_count, seed=self.seed)  # yapf: disable


class Task(NamedTuple):
    """A mesh to prepare in a process of its own."""

    mesh: MeshFile
    root: Path
    options: Options


def is_finished(root: str | Path, shape: ShapeName) -> bool:
    """Whether all files of a shape exist; each is written atomically."""
    return all(exists(path(root, shape)) for path in FILES)


def write_shape(root: str | Path, shape: ShapeName, sampling: Sampling, normalization: Normalization, seed: int) -> None:
    """Write all files of a shape sampled in its normalised frame, the samples, in an order of that seed, last.

    Raises:
        DataError: if there are no inside or no outside samples.
    """
    points = normalization.undo(sampling.surface).astype("<f8")
    layout.write_normalization(layout.normalization_path(root, shape), normalization)
    write_atomically(layout.surface_path(root, shape), PLY_HEADER.format(len(points)).encode() + points.tobytes())
    layout.write_samples(layout.samples_path(root, shape), sampling.points, sampling.sdf, seed)


def prepare_shape(task: Task) -> dict:
    """Prepare one mesh.

    Returns:
        Its statistics, see :class:`~deep3dmap.geometry.sdf_sampling.Sampling`, its CPU time in seconds, and the
        file's checksum.

    Raises:
        DataError: if the mesh can't be read, or its inside can't be determined reliably; names the file.
    """
    started, (path, shape), options = time.process_time(), task.mesh, task.options
    checksum, mesh = sha256_of(path), load_mesh(path)
    if len(mesh.faces) > options.max_faces:
        raise DataError(
            f"{path}: has {len(mesh.faces):,} faces, more than {options.max_faces:,}; simplify it, or raise the limit with "
            "--max-faces")
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    try:
        normalization = Normalization(*unit_sphere(vertices, faces))
        seed = layout.shape_seed(shape, options.seed)
        sampling = sample_sdf(normalization.apply(vertices), faces, options.plan, options.surface_count, seed)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    write_shape(task.root, shape, sampling, normalization, seed)
    figures = {key: round(value, 6) if isinstance(value, float) else value for key, value in sampling.figures.items()}
    return dict(figures, positive=int((sampling.sdf > 0).sum()), negative=int((sampling.sdf <= 0).sum()),
                seconds=round(time.process_time() - started, 2), sha256=checksum)  # yapf: disable


def remove_outdated(root: str | Path, report: Report) -> None:
    """Remove a data set's samples that were drawn with other options than those now in its report.

    All are removed before the first is drawn again: an interrupt would otherwise leave an undetectable mixture.
    """
    for path in Path(root, layout.SAMPLES, report.dataset).glob("*/*.npz"):
        _remove(root, ShapeName(report.dataset, path.parent.name, path.stem))
    report.save()


def prepare_meshes(meshes: Sequence[MeshFile],
                   root: str | Path,
                   options: Options,
                   report: Report,
                   *,
                   processes: int,
                   timeout: float,
                   overwrite: bool = False,
                   log: Callable[[str], object] = print) -> None:
    """Prepare meshes, several at a time; each outcome is recorded in the report, which is saved periodically.

    Args:
        meshes: to prepare; finished ones are skipped.
        root: folder of the layout.
        options: how they are sampled.
        report: of this data set.
        processes: number of parallel processes.
        timeout: seconds after which a mesh is aborted.
        overwrite: also prepare finished meshes again.
        log: prints a line.

    Raises:
        DataError: if the mesh of a finished shape has changed; nothing is prepared then.
    """
    for folder in {path(root, mesh.shape).parent for mesh in meshes for path in FILES}:
        remove_parts(folder)
    finished = [] if overwrite else [mesh for mesh in meshes if is_finished(root, mesh.shape)]
    known = ((mesh.path, report.shapes.get(_key(mesh.shape), {}).get("sha256")) for mesh in finished)
    changed = [str(path) for path, checksum in known if checksum and checksum != sha256_of(path)]
    if changed:
        raise DataError(f"{report.path}: {len(changed)} mesh(es) have changed since their samples were drawn "
                        f"({', '.join(changed[:SHOWN])}{', ...' * (len(changed) > SHOWN)}); restore them, or draw all again "
                        "with --overwrite, or choose another output folder")
    for mesh in finished:
        if report.shapes.get(_key(mesh.shape), {}).get("status") != ACCEPTED:
            report.note(_key(mesh.shape), ACCEPTED)
    waiting = set(finished)
    todo = [mesh for mesh in meshes if mesh not in waiting]
    if finished:
        log(f"{len(finished)} of {len(meshes)} shapes exist already")
    progress = _Progress(len(todo), log)
    try:
        for number, outcome in run_tasks(prepare_shape, [Task(mesh, Path(root), options) for mesh in todo], processes,
                                         timeout):
            _note(report, root, todo[number], outcome, log)
            if progress.step():
                report.save()
    finally:
        report.save()


def _key(shape: ShapeName) -> str:
    return f"{shape.category}/{shape.name}"


def _note(report: Report, root, mesh: MeshFile, outcome: Outcome, log) -> None:
    status = STATUS.get(outcome.kind, FAILED)
    if status != ACCEPTED:
        _remove(root, mesh.shape)
        log(f"{status}: {mesh.shape}: {outcome.reason}")
    report.note(_key(mesh.shape), status, outcome.reason, **(outcome.value or {}))


def _remove(root, shape: ShapeName) -> None:
    """Remove files of a shape that is not accepted, written by an earlier run or before a failure."""
    for path in FILES:
        path(root, shape).unlink(missing_ok=True)


class _Progress:
    """Reports progress: at the start, at the end, and periodically."""

    def __init__(self, total: int, log: Callable[[str], object]):
        self.total, self.log, self.done = total, log, 0
        self.started = self.reported = time.monotonic()

    def step(self) -> bool:
        """Count one more; returns whether progress was reported."""
        self.done += 1
        now = time.monotonic()
        due = now - self.reported > SAVE_EVERY or self.done == self.total
        if due:
            self.reported, elapsed = now, now - self.started
            left = elapsed / self.done * (self.total - self.done)
            self.log(f"{self.done} of {self.total} meshes in {elapsed:.0f} s" + (f", about {left:.0f} s left" if left else ""))
        return due
