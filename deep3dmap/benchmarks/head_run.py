"""One run of the table of heads: a method reconstructs a synthetic head and is measured against the true one.

:func:`run_in` does the run described by ``settings.json`` in a folder, in a separate process, so that a crash affects this run
only. It writes ``run/`` (the work folder), ``mesh.ply``, ``error_map.png`` and, last, ``metrics.json``.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import trimesh
from mmengine.config import Config

from deep3dmap.apis.reconstruct import reserve
from deep3dmap.datasets.captures.scene import Scene, load_scene
from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.errors import DataError
from deep3dmap.evaluation.head_metric import true_head
from deep3dmap.evaluation.heads import TrueHead, head_axes, head_distances, head_metrics, in_millimetres
from deep3dmap.evaluation.metrics import in_true_frame
from deep3dmap.evaluation.tables import write_metrics
from deep3dmap.frameworks.cards import find_card
from deep3dmap.geometry.meshing import NoSurfaceError
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.visualization.error_maps import error_map
from deep3dmap.visualization.pictures import save_image

SETTINGS, METRICS, MESH, ERROR_MAP, WORK = "settings.json", "metrics.json", "mesh.ply", "error_map.png", "run"

#: How the prediction is aligned before it is measured, and whether that may scale it.
ALIGNMENTS = {"with_scale": True, "rigid": False}


@dataclass(frozen=True)
class HeadRun:
    """Settings of one run; a finished run with equal settings is not repeated.

    Attributes:
        method: a method whose card has a config for ``heads``; its capture is replaced.
        head: name of the head, and of its folder.
        kind: ``head``, an accessory's name, or ``bust``.
        views: number of photographs.
        capture: options of :func:`~deep3dmap.datasets.synthetic.generate_head_capture` other than the views.
        minutes: for capture, training and evaluation, divided as in ``deep3dmap reconstruct``.
        seed: seed of the training; captures keep theirs, since the prior's training heads depend on it.
        amp: mixed precision.
        rays: rays per step.
        resolution: resolution of the mesh.
        device: as in a config.
        threads: threads of the process.
        snapshots: training minutes at which to save states, which are measured after training.
        config: checksum of the method's config, so that a changed config is another run.
    """

    method: str
    head: str
    kind: str
    views: int
    capture: Mapping = field(default_factory=dict, hash=False)
    minutes: float = 5.0
    seed: int = 0
    amp: bool = False
    rays: int = 1024
    resolution: int = 256
    device: str = "auto"
    threads: int = 2
    snapshots: tuple[float, ...] = ()
    config: str = ""

    @property
    def name(self) -> str:
        """The run's path, relative to the table's folder."""
        return f"{self.method}/{self.head}/{self.views}"

    def settings(self) -> dict:
        """All values, as loaded from JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "HeadRun":
        """Read a run's settings from a file."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values | dict(snapshots=tuple(values["snapshots"])))


def head_config(run: HeadRun) -> Config:
    """The method's config with the run's head; all methods get the same rays per step, and no pictures during training."""
    capture = dict(_delete_=True, type="SyntheticHeadCapture", **run.capture, views=run.views, test_views=0)
    checkpoints = dict(_delete_=True, type="CheckpointHook", minutes=None, keep=1, at_minutes=list(run.snapshots))
    options = {"scene.capture": capture, "scene.test_views": 0, "test_dataset": None, "train_dataset.rays": run.rays,
               "default_hooks.pictures": None, "default_hooks.checkpoint": checkpoints}  # yapf: disable
    cfg = load_config(find_card(run.method, "heads").heads, options)
    cfg.train_cfg.pop("max_minutes", None)  # the deadline limits the run
    return cfg


def config_checksum(method: str) -> str:
    """Checksum of a method's resolved config."""
    return hashlib.sha256(load_config(find_card(method, "heads").heads).pretty_text.encode()).hexdigest()[:12]


def do_run(run: HeadRun, folder: Path, start: float) -> None:
    """Train, mesh, measure and write everything; a work folder of an earlier attempt is removed.

    The run's minutes begin at ``start``, a value of ``time.monotonic()``.

    Raises:
        KeyboardInterrupt: if training was interrupted.
        DataError, ConfigError: if the capture or the method can't be built.
        NoSurfaceError: if training ended without a surface.
    """
    torch.set_num_threads(run.threads)
    cfg, work = head_config(run), folder / WORK
    shutil.rmtree(work, ignore_errors=True)
    scene, deadline = load_scene(**cfg.scene), start + 60 * run.minutes - reserve(run.minutes)
    truth = _truth(scene)
    runner = build_runner(cfg, work_dir=str(work), deadline=deadline, seed=run.seed, amp=run.amp, device=run.device)
    runner.train()
    loop, trained = runner.train_loop, time.monotonic() - start
    if loop.interrupted:
        raise KeyboardInterrupt
    figures = _write_surface(runner, scene, truth, run, folder)
    done = dict(settings=run.settings(), figures=figures, steps=loop.step, seconds=trained,
                total_seconds=time.monotonic() - start)  # yapf: disable
    curve = _curve(runner, scene, truth, run, trained - loop.seconds)
    write_metrics(done | dict(curve=[*curve, dict(seconds=trained, figures=figures)]), folder / METRICS, {"figures": "mm"})


def read_metrics(folder: Path) -> dict:
    """Metrics of a finished run in its folder; empty if there is none."""
    try:
        found = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and isinstance(found.get("settings"), dict) else {}


def changed_settings(run: HeadRun, found: Mapping) -> set[str]:
    """Keys in which a run's settings differ from those in a finished run's metrics."""
    wanted, had = run.settings(), found["settings"]
    return {key for key in {*wanted, *had} if wanted.get(key) != had.get(key)}


def only_measured_otherwise(run: HeadRun, folder: Path) -> bool:
    """Whether a finished run in a folder has the same training, so that only its evaluation must be repeated."""
    found = read_metrics(folder)
    return bool(found and not run.snapshots and changed_settings(run, found) == {"resolution"}
                and list_checkpoints(folder / WORK))


def measure_again(run: HeadRun, folder: Path) -> None:
    """Mesh and measure a finished run in another resolution; its steps and seconds are kept.

    Raises:
        DataError, ConfigError, CheckpointError: if the capture can't be built, or the weights can't be read.
        NoSurfaceError: if there is no surface.
    """
    torch.set_num_threads(run.threads)
    found, cfg = read_metrics(folder), head_config(run)
    scene = load_scene(**cfg.scene)
    with tempfile.TemporaryDirectory() as work:
        runner = build_runner(cfg, work_dir=work, seed=run.seed, amp=run.amp, device=run.device)
        runner.load_checkpoint(str(list_checkpoints(folder / WORK)[-1]))
        figures = _write_surface(runner, scene, _truth(scene), run, folder)
    done = {key: found[key] for key in ("steps", "seconds", "total_seconds")} | dict(settings=run.settings(), figures=figures)
    done["curve"] = [dict(seconds=found["seconds"], figures=figures)]
    write_metrics(done, folder / METRICS, {"figures": "mm"})


def _truth(scene: Scene) -> TrueHead:
    truth = true_head(scene.capture.mesh, scene.capture.landmarks)
    if truth is None:
        raise DataError(f"{scene.capture.source}: has no true surface with landmarks to measure with")
    return truth


def _write_surface(runner: ReconstructionRunner, scene: Scene, truth: TrueHead, run: HeadRun,
                   folder: Path) -> dict[str, dict[str, float]]:
    """Write mesh and error map of the current state; returns its metrics by alignment."""
    mesh, figures = _measured(runner, scene, truth, run.resolution)
    save_mesh(mesh, folder / MESH)
    save_error_map(mesh, truth, f"{run.head}, {run.method}", folder / ERROR_MAP)
    return figures


def _measured(runner: ReconstructionRunner, scene: Scene, truth: TrueHead,
              resolution: int) -> tuple[trimesh.Trimesh, dict[str, dict[str, float]]]:  # yapf: disable
    """The mesh of the current state in the true frame, and its metrics by alignment."""
    framework = runner.framework.eval()
    mesh = in_true_frame(framework.extract_mesh(resolution), framework.trained_cameras(), scene.train.true_cameras)
    mesh = in_millimetres(mesh, 1.0)
    return mesh, {name: head_metrics(mesh, truth, with_scale=scales) for name, scales in ALIGNMENTS.items()}


def _curve(runner: ReconstructionRunner, scene: Scene, truth: TrueHead, run: HeadRun, before: float) -> list[dict]:
    """Metrics of the snapshots, by seconds since the run began; those without a surface are skipped."""
    points = []
    for minutes in sorted(run.snapshots):
        path = Path(runner.work_dir) / "checkpoints" / f"minute_{minutes:g}.pth"
        if path.is_file():  # training may have ended earlier
            runner.load_checkpoint(str(path))
            try:
                points.append(dict(seconds=before + 60 * minutes,
                                   figures=_measured(runner, scene, truth, run.resolution)[1]))  # yapf: disable
            except NoSurfaceError:
                continue
    return points


def save_error_map(mesh: trimesh.Trimesh, truth: TrueHead, name: str, path: Path) -> None:
    """A picture of the true head coloured by its distance from a predicted mesh; both in millimetres."""
    distances = head_distances(mesh, truth, to="surface")
    save_image(path, error_map({name: (truth.mesh, distances.true_to_predicted)}, axes=head_axes(truth.landmarks)))


def run_in(folder: str) -> None:
    """Do the run that ``settings.json`` in a folder describes; see :func:`do_run`."""
    start, place = time.monotonic(), Path(folder)
    run = HeadRun.read(place / SETTINGS)
    if only_measured_otherwise(run, place):
        measure_again(run, place)
    else:
        do_run(run, place, start)
