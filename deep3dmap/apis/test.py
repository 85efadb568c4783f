"""Evaluation of a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from deep3dmap.apis.arguments import RunArguments
from deep3dmap.apis.preflight import look_first
from deep3dmap.apis.work_folder import claimed, picture_paths, result_files, untouched_unless_begun
from deep3dmap.engine.checkpoint import find_checkpoint
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.testing import TestResult
from deep3dmap.evaluation.tables import format_table, write_metrics
from deep3dmap.io.files import write_atomically
from deep3dmap.io.mesh_files import save_mesh
from deep3dmap.processes import is_first
from deep3dmap.visualization.pictures import as_uint8, normal_map, save_image


def test(config: str | Path,
         checkpoint: str | Path,
         work_dir: str | Path | None = None,
         *,
         options: Mapping | None = None,
         **arguments: Unpack[RunArguments]) -> TestResult:
    """Evaluate a checkpoint: figures, pictures, mesh.

    Writes ``metrics.json``, ``mesh.ply`` and a picture of each of the config's test views into the folder ``test`` of the work
    folder.

    Args:
        config: config file.
        checkpoint: checkpoint, or a work folder for its newest.
        work_dir: results go to its folder ``test`` (default: the checkpoint's work folder).
        options, arguments: as for :func:`deep3dmap.apis.train.train`.
    """
    path = find_checkpoint(Path(checkpoint))
    cfg = load_config(config, options)
    folder = Path(work_dir) if work_dir else path.parent.parent if path.parent.name == "checkpoints" else path.parent
    given = {key: value for key, value in arguments.items() if value is not None}
    with claimed(folder / "test"):
        look_first(cfg)
        with untouched_unless_begun(folder / "test"):
            runner = build_runner(cfg, work_dir=str(folder / "test"), **given)
            runner.load_checkpoint(str(path))
            result = runner.test()
        if is_first():
            write_result(result, folder / "test")
    return result


def write_result(result: TestResult, folder: Path) -> None:
    """``metrics.json`` (figures by group and view), what else the metrics write, ``mesh.ply``, and pictures of the views.

    Files of an earlier result that this one doesn't have are removed.
    """
    stale = set(result_files(folder))
    views = {view.name: dict(split=view.split, **view.metrics) for view in result.views}
    written = [write_metrics(dict(result.metrics, views=views, notes=result.notes), folder / "metrics.json")]
    written += [write_atomically(folder / name, text.encode()) for name, text in result.files.items()]
    if result.mesh is not None:
        written.append(save_mesh(result.mesh, folder / "mesh.ply"))
    for view in result.views:
        rendering, normals = picture_paths(folder, view.name)
        written.append(save_image(rendering, as_uint8(view.rendering)))
        if view.normals is not None:
            written.append(save_image(normals, normal_map(view.normals, view.mask)))
    for path in stale.difference(written):
        path.unlink()


def result_table(result: TestResult) -> str:
    """All figures as text: a table for each set of groups with the same figures, one row a figure."""
    blocks: dict[tuple, dict[str, dict]] = {}
    for group, figures in result.metrics.items():
        blocks.setdefault(tuple(figures), {})[group] = figures
    tables = []
    for names, groups in blocks.items():
        rows = {name: {group: _figure(figures[name]) for group, figures in groups.items()} for name in names}
        tables.append(format_table(rows))
    return "\n\n".join(tables)


def _figure(value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
