"""Output of results: files, report, and table on the terminal."""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import trimesh
from mmengine.config import Config
from mmengine.dist import is_main_process

from deep3dmap.apis.hull_comparison import hull_notes
from deep3dmap.apis.results import pictures_of, result_table, write_result
from deep3dmap.apis.texturing import Painter
from deep3dmap.apis.work_folder import item_folder
from deep3dmap.datasets.captures import SceneDataset
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.engine.hooks.log import duration
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.engine.testing import Evaluated, TestResult
from deep3dmap.errors import DataError
from deep3dmap.evaluation.surfaces import vertex_errors
from deep3dmap.frameworks.cards import card_of
from deep3dmap.io.images import IMAGE_SUFFIXES
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.io.textured_files import save_textured_mesh
from deep3dmap.version import __version__
from deep3dmap.visualization.growth import growth
from deep3dmap.visualization.pictures import as_uint8, difference_map, normal_map
from deep3dmap.visualization.report import ViewComparison, write_report
from deep3dmap.visualization.video import turntable, write_video

TEXTURED = "textured.glb"

#: Degrees above the horizon of the turntable's cameras around a room: over its near walls to the floor.
ROOM_ELEVATION = 45.0


class Interrupted(Exception):  # noqa: N818 - not an error: the state is saved
    """Training was interrupted; all results were written."""


def show_run(runner: ReconstructionRunner, output: Path, words: Mapping[str, str], start: float,
             log: Callable[[str], object], texture: bool = False) -> TestResult:  # yapf: disable
    """Evaluate a runner's framework and write everything.

    Args:
        runner: trained, or with loaded weights.
        output: folder to write to.
        words: the ``command`` line; ``again``, the one that resumes it; and ``data``, the data that the user named.
        start: value of ``time.monotonic()`` at the beginning.
        log: prints a line.
        texture: also paint a texture.

    Raises:
        Interrupted: if training was interrupted.
    """
    loop = runner.train_loop
    result, scene = runner.test(), _scene_of(runner)
    if scene is not None:
        result.notes += hull_notes(result.mesh, scene)
    table = "\n".join(filter(None, [result_table(result), *result.notes]))
    interrupted = loop is not None and loop.interrupted
    if interrupted:
        result.notes.append(f"training was interrupted after {duration(loop.seconds)}; continue with: {words['again']}")
    if is_main_process():
        write_result(result, output)
        if texture and scene is not None and result.mesh is not None:
            painted = Painter(runner.framework, scene).paint(result.mesh, log)
            save_textured_mesh(painted, output / TEXTURED)
        summary = _summary(result, scene, runner.cfg, words)
        if loop is not None:
            summary["time"] = f"{duration(loop.seconds)} of training, {loop.step} steps"
        summary |= dict(device=str(runner.target), seed=str(runner.seed), version=__version__)
        _write_report(result, scene, summary, words, output, runner.cfg, Path(runner.work_dir) / "scalars.jsonl")
    _log_result(result, table, output, start, log)
    if interrupted:
        raise Interrupted(result.notes[-1])
    return result


def show_results(result: TestResult, cfg: Config, output: Path, words: Mapping[str, str], start: float,
                 log: Callable[[str], object]) -> TestResult:  # yapf: disable
    """Write the evaluation of per-instance runs; see :func:`show_run`."""
    write_result(result, output)
    _write_report(result, None, _summary(result, None, cfg, words) | dict(version=__version__), words, output, cfg, None)
    _log_result(result, "\n".join([result_table(result), *result.notes]), output, start, log)
    return result


def _log_result(result: TestResult, table: str, output: Path, start: float, log: Callable[[str], object]) -> None:
    if table:
        log(table)
    names = ["mesh.ply", "mesh.glb"] if result.scene is not None and result.scene.result.mesh is not None else []
    names += [TEXTURED] * (output / TEXTURED).is_file()
    names += ["items/"] * bool(result.items) + ["metrics.json", "report.html"]
    log(f"{output}: {', '.join(names)} ({duration(time.monotonic() - start)})")


def _scene_of(runner: ReconstructionRunner):
    shown = runner.scene and isinstance(runner.build_test_data().dataset, SceneDataset)
    return load_scene(**runner.scene) if shown else None


def _summary(result: TestResult, scene, cfg: Config, words: Mapping[str, str]) -> dict[str, str]:
    """Method and data, as their users call them."""
    card = card_of(cfg.model.type)
    method = card.title if card else cfg.model.type
    if scene is not None:
        return dict(method=method, data=scene.capture.source, views=scene.split)
    return dict(method=method, data=words["data"] or Path(cfg.filename or "").stem, items=str(len(result.items)))


def _write_report(result: TestResult, scene, summary: dict, words: Mapping[str, str], output: Path, cfg: Config,
                  curves: Path | None) -> None:  # yapf: disable
    """Write the report; for a scene also the mesh as GLB and its videos."""
    shown = result.scene
    truth, up, one_sided = None if shown is None else shown.item["true_mesh"], _up_of(scene, shown), _one_sided(result)
    error, moving, growing, downloads = None, None, None, {"metrics.json": "metrics.json"}
    if shown is not None and shown.result.mesh is not None:
        save_mesh(result.mesh, output / "mesh.glb")
        moving = write_video(_turntable(result.mesh, up, one_sided), output / "turntable.mp4", fps=12)
        growing = _write_growth(shown, output / "growth.mp4", result.notes)
        error = None if truth is None else vertex_errors(result.mesh, truth).astype(np.float64)
        meshes = ["mesh.ply", "mesh.glb"] + [TEXTURED] * (output / TEXTURED).is_file()
        downloads = dict(zip(meshes, meshes)) | downloads
    owners = [each.name for each in result.results if each.result.mesh is not None]
    summary |= {k: v for k, v in (("command", words["command"]), ("continue", words["again"])) if v}
    write_report(output / "report.html",
                 title=f"{summary['method']}: {Path(str(summary['data'])).name}",
                 views=[_comparison(view) for view in result.views],
                 pictures={each.name: pictures_of(each.result) for each in result.items},
                 figures={each.name: each.result.figures for each in result.items},
                 files={each.name: _files_of(each, output) for each in result.items},
                 mesh_name=owners[0] if len(owners) > 1 else "",
                 curves_path=curves if curves is not None and curves.is_file() else None,
                 summary=summary, metrics=result.metrics, mesh=result.mesh, mesh_error=error, up=up, one_sided=one_sided,
                 turntable=moving, growth=growing, downloads=downloads, notes=result.notes,
                 settings=cfg.pretty_text)  # yapf: disable


def _up_of(scene, shown: Evaluated | None) -> list[float] | None:
    """The up direction of a scene or a recording, if there is one."""
    if scene is not None:
        return scene_up(scene)
    return shown.item["recording"].up.tolist() if shown is not None and "recording" in shown.item else None


def _one_sided(result: TestResult) -> bool:
    """Whether the first mesh is one of surfaces seen from one side."""
    return next((each.result.one_sided for each in result.results if each.result.mesh is not None), False)


def _turntable(mesh: trimesh.Trimesh, up: list[float] | None, one_sided: bool) -> Iterable[np.ndarray]:
    """Frames of the turntable; one looks down into a room."""
    return turntable(mesh, up=up, frames=36, supersample=1, elevation=ROOM_ELEVATION if one_sided else 15.0,
                     one_sided=one_sided)  # yapf: disable


def _write_growth(shown: Evaluated, path: Path, notes: list[str]) -> Path | None:
    """Write the video of a recording's growing surface."""
    recording = shown.item.get("recording")
    if recording is None:
        return None
    try:
        return write_video(growth(shown.result.mesh, recording, shown.item["frames"]), path, fps=8)
    except DataError as error:
        notes.append(f"no video of the growing surface: {error}")
        return None


def _files_of(item: Evaluated, output: Path) -> list[str]:
    """Paths of an item's files other than pictures, relative to the folder of results."""
    place = item_folder(output, item.name)
    files = sorted(place.iterdir()) if place.is_dir() else []
    return [path.relative_to(output).as_posix() for path in files if path.suffix not in IMAGE_SUFFIXES]


def scene_up(scene) -> list[float]:
    """The up direction of a scene in the world: the mean of its cameras' up axes."""
    up = -scene.train.cameras.rotations[:, 1].mean(0)
    return (up / up.norm().clamp(min=1e-9)).tolist()


def _comparison(view: Evaluated) -> ViewComparison:
    images = {name: image.numpy() for name, image in view.result.images.items()}
    photo, rendering = as_uint8(view.item["rgb"].reshape(*view.item["size"], 3).numpy()), as_uint8(images["rgb"])
    split = "held out" if view.item["split"] == "test" else "train"
    difference = difference_map(photo, rendering, images["mask"])
    normals = normal_map(images["normals"], images["mask"]) if "normals" in images else None
    return ViewComparison(view.result.name, split, photo, rendering, difference, normals, view.figures)
