"""Evaluation of a checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from mmengine.dist import is_main_process

import deep3dmap
from deep3dmap.apis.arguments import RunArguments
from deep3dmap.apis.instances import evaluate_instances
from deep3dmap.apis.preflight import preflight
from deep3dmap.apis.results import write_result
from deep3dmap.apis.work_folder import locked_folder, restored_on_early_failure
from deep3dmap.engine.checkpoint import find_checkpoint
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.testing import TestResult


def test(config: str | Path,
         checkpoint: str | Path,
         work_dir: str | Path | None = None,
         *,
         options: Mapping | None = None,
         **arguments: Unpack[RunArguments]) -> TestResult:
    """Evaluate a checkpoint: metrics, pictures, mesh.

    Writes to the folder ``test`` of the work folder; see :func:`deep3dmap.apis.results.write_result`.

    Args:
        config: config file.
        checkpoint: checkpoint, or a work folder for its newest.
        work_dir: results go to its folder ``test`` (default: the checkpoint's work folder; for the
            package's own weights the current folder).
        options, arguments: as for :func:`deep3dmap.apis.train.train`.
    """
    cfg = load_config(config, options)
    if "instances" in cfg:
        result, folder = evaluate_instances(cfg, Path(checkpoint), arguments), Path(work_dir or checkpoint) / "test"
        write_result(result, folder)
        return result
    path = find_checkpoint(Path(checkpoint))
    folder = Path(work_dir) if work_dir else _run_of(path)
    with locked_folder(folder / "test"):
        preflight(cfg)
        with restored_on_early_failure(folder / "test"):
            runner = build_runner(cfg, work_dir=str(folder / "test"), **arguments)
            runner.load_checkpoint(str(path))
            result = runner.test()
        if is_main_process():
            write_result(result, folder / "test")
    return result


def _run_of(checkpoint: Path) -> Path:
    """The work folder of a checkpoint; for the package's own weights the current one."""
    if checkpoint.resolve().is_relative_to(Path(deep3dmap.__file__).parent):
        return Path()
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
