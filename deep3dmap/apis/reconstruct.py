"""From a folder of photographs to a measured mesh and a report, within given minutes."""

import math
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

import numpy as np
from mmengine.dist import is_main_process

from deep3dmap.apis.arguments import TrainingArguments
from deep3dmap.apis.hull_comparison import hull_notes
from deep3dmap.apis.preflight import look_first
from deep3dmap.apis.results import result_table, write_result
from deep3dmap.apis.work_folder import claimed, refuse_result, result_files, set_aside, untouched_unless_begun
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.hooks.log import duration
from deep3dmap.engine.loops import OutOfTimeError
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.engine.testing import Evaluated, TestResult
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.surfaces import vertex_errors
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.ranges import Positive
from deep3dmap.registry import nearest
from deep3dmap.version import __version__
from deep3dmap.visualization.pictures import as_uint8, difference_map, normal_map
from deep3dmap.visualization.report import ViewComparison, write_report
from deep3dmap.visualization.video import turntable, write_video

#: Configs for a user's own photographs, by method.
METHODS = {"hull": "configs/hull/your_own.py", "idr": "configs/idr/your_own.py", "h3dnet": "configs/h3dnet/your_own.py"}

#: Kept for the mesh, the pictures and the report: seconds, a part of the minutes besides, and at most so many seconds.
RESERVE_SECONDS, RESERVE_PART, RESERVE_MOST = 10.0, 0.12, 150.0

#: The part of these seconds for what comes after mesh and views (surface metrics, turntable, report), and the most it gets.
REPORT_PART, REPORT_MOST = 0.25, 15.0


class Interrupted(Exception):  # noqa: N818 - not an error: the work was kept
    """Training was interrupted; everything that was asked for was written all the same."""


def reconstruct(folder: str | Path | None,
                output: str | Path = "out",
                *,
                method: str = "idr",
                minutes: Positive = 20.0,
                config: str | Path | None = None,
                resume: bool = False,
                overwrite: bool = False,
                resolution: int | None = None,
                options: Mapping | None = None,
                command: str = "",
                started: float | None = None,
                say=print,
                **arguments: Unpack[TrainingArguments]) -> TestResult:
    """From photographs to a mesh and a report, within given minutes.

    Leaves ``mesh.ply``, ``mesh.glb``, ``metrics.json``, ``report.html``, ``turntable.mp4``, ``pictures/`` and the work
    folder ``run/`` in ``output``.

    Args:
        folder: photographs with cameras and masks, or a data set's name (``deep3dmap check`` looks at it). None takes the
            config's scene.
        output: folder to write to.
        method: ``idr``; ``h3dnet`` for heads; ``hull``: a first mesh within seconds.
        minutes: for everything together.
        config: another config than the method's own.
        resume: go on with what the output folder holds from before.
        overwrite: replace what the output folder holds from before. Once the new run has begun; other files stay.
        resolution: of the mesh (default: the config's).
        options: as for :func:`deep3dmap.apis.train.train`.
        started: value of ``time.monotonic()`` from which the minutes count; now by default.
        command: how to do the same again, for the report.
        say: prints a line.

    Raises:
        ConfigError: if ``output`` holds an earlier result, another run uses it, or the minutes are over before the first step.
        Interrupted: after Ctrl-C, when everything is written.
    """
    start = time.monotonic() if started is None else started
    if minutes <= 0:
        raise ConfigError(f"--minutes {minutes}: must be positive")
    if config is None and method not in METHODS:
        raise ConfigError(f"--method {method}: {nearest(method, METHODS)}")
    cfg = load_config(config or METHODS[method], options)
    if folder is not None:
        cfg.merge_from_dict({"scene.capture": str(folder)})
    if resolution is not None:
        if resolution < 2:
            raise ConfigError(f"--resolution {resolution}: must be at least 2")
        cfg.test_cfg = dict(cfg.get("test_cfg") or {}, resolution=resolution)
    output = Path(output)
    with claimed(output):
        if not (resume or overwrite):
            refuse_result(output)
        look_first(cfg)
        runner = _train(cfg, output, start, minutes, resume, arguments)
        left = start + 60 * minutes - time.monotonic() - min(REPORT_PART * reserve(minutes), REPORT_MOST)
        left = max(min(left, reserve(minutes)) if runner.train_loop.interrupted else left, 1.0)
        runner.test_cfg = dict(runner.test_cfg or {}, max_seconds=left)
        again = _go_on(command, folder, minutes, output)
        try:
            tell = say if is_main_process() else lambda line: None
            return _show(runner, output, dict(command=command, again=again), start, tell)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted while the results were written; the training is kept in {runner.work_dir}; "
                              f"go on with: {again}") from None


def _go_on(command: str, folder: str | Path | None, minutes: float, output: Path) -> str:
    """The command that goes on with a reconstruction."""
    if not command:
        source = ["reconstruct", str(folder)] if folder is not None else ["demo"]
        command = shlex.join(["deep3dmap", *source, "--minutes", f"{minutes:g}", "-o", str(output)])
    words = [word for word in shlex.split(command) if word not in ("--resume", "--overwrite")]
    return shlex.join([*words, "--resume"])


def _show(runner: ReconstructionRunner, output: Path, commands: Mapping[str, str], start: float, say) -> TestResult:
    """Measure the trained framework and write everything."""
    loop = runner.train_loop
    say("extracting the mesh and rendering the views")
    result = runner.test()
    result.notes += hull_notes(result.mesh, load_scene(**runner.scene))
    table = "\n".join([result_table(result), *result.notes])
    if loop.interrupted:
        result.notes.append(f"training was interrupted after {duration(loop.seconds)}; go on with: {commands['again']}")
    if is_main_process():
        write_result(result, output)
        _write_shown(result, runner, output, commands)
    say(table)
    names = ["mesh.ply", "mesh.glb"] * (result.mesh is not None) + ["metrics.json", "report.html"]
    say(f"{output}: {', '.join(names)} ({duration(time.monotonic() - start)})")
    if loop.interrupted:
        raise Interrupted(result.notes[-1])
    return result


def reserve(minutes: float) -> float:
    """Seconds kept for what comes after training."""
    return min(RESERVE_SECONDS + RESERVE_PART * 60 * minutes, RESERVE_MOST, 0.5 * 60 * minutes)


def _train(cfg, output: Path, start: float, minutes: float, resume: bool, arguments: Mapping) -> ReconstructionRunner:
    deadline = start + 60 * minutes - reserve(minutes)
    if time.monotonic() > deadline and not resume:
        raise _too_short(start, minutes)
    cfg.train_cfg.pop("max_minutes", None)
    given = {key: value for key, value in arguments.items() if value is not None}
    run = output / "run"
    earlier = () if resume else (*result_files(output), run)
    with set_aside(output, earlier, run, keep=False), untouched_unless_begun(run):
        runner = build_runner(cfg, work_dir=str(run), resume=resume, deadline=deadline, **given)
        try:
            runner.train()
        except OutOfTimeError:
            raise _too_short(start, minutes) from None
    return runner


def _too_short(start: float, minutes: float) -> ConfigError:
    """The refusal of minutes that are over before the first step; with twice what was spent, half of which is kept."""
    spent = time.monotonic() - start
    least = math.ceil((2 * spent + RESERVE_SECONDS) / 6) / 10
    return ConfigError(f"--minutes {minutes:g}: {spent:.0f} s have passed before the first step of training, and mesh and "
                       f"report need time, too; give at least --minutes {least:g}")


def _write_shown(result: TestResult, runner: ReconstructionRunner, output: Path, commands: Mapping[str, str]) -> None:
    """The mesh as GLB, the turntable and the report."""
    scene = load_scene(**runner.scene)
    truth = scene.capture.mesh
    up = scene_up(scene)
    error = None
    if result.mesh is not None:
        save_mesh(result.mesh, output / "mesh.glb")
        write_video(turntable(result.mesh, up=up, frames=36, supersample=1), output / "turntable.mp4", fps=12)
        error = None if truth is None else vertex_errors(result.mesh, truth).astype(np.float64)
    loop = runner.train_loop
    summary = dict(method=type(runner.framework).__name__,
                   data=scene.capture.source,
                   views=scene.split,
                   time=f"{duration(loop.seconds)} of training, {loop.step} steps",
                   device=str(runner.target),
                   seed=str(runner.seed),
                   version=__version__)
    summary |= {k: v for k, v in (("command", commands["command"]), ("continue", commands["again"])) if v}
    write_report(output / "report.html",
                 title=f"{summary['method']}: {Path(str(scene.capture.source)).name}",
                 summary=summary,
                 metrics=result.metrics,
                 views=[_comparison(view) for view in result.views],
                 mesh=result.mesh,
                 mesh_error=error,
                 up=up,
                 curves_path=Path(runner.work_dir) / "scalars.jsonl",
                 turntable=output / "turntable.mp4" if result.mesh is not None else None,
                 downloads={"mesh.ply": "mesh.ply", "mesh.glb": "mesh.glb", "metrics.json": "metrics.json"},
                 notes=result.notes,
                 settings=runner.cfg.pretty_text)  # yapf: disable


def scene_up(scene) -> list[float]:
    """The upward direction of a scene in the world: the mean of its cameras' upward axes."""
    up = -scene.train.cameras.rotations[:, 1].mean(0)
    return (up / up.norm().clamp(min=1e-9)).tolist()


def _comparison(view: Evaluated) -> ViewComparison:
    images = {name: image.numpy() for name, image in view.result.images.items()}
    photo, rendering = as_uint8(view.item["rgb"].reshape(*view.item["size"], 3).numpy()), as_uint8(images["rgb"])
    return ViewComparison(view.result.name,
                          "held out" if view.item["split"] == "test" else "train",
                          photo,
                          rendering,
                          difference=difference_map(photo, rendering, images["mask"]),
                          normals=normal_map(images["normals"], images["mask"]) if "normals" in images else None,
                          metrics=view.figures)
