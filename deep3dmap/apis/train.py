"""Training from a config file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Unpack

from deep3dmap.apis.arguments import TrainingArguments
from deep3dmap.apis.instances import InstanceRuns, train_instances
from deep3dmap.apis.preflight import preflight
from deep3dmap.apis.work_folder import TRAINED, earlier_run_moved, locked_folder, restored_on_early_failure
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.runner import ReconstructionRunner


def train(config: str | Path,
          work_dir: str | Path | None = None,
          *,
          resume: bool | str | Path = False,
          options: Mapping | None = None,
          **arguments: Unpack[TrainingArguments]) -> ReconstructionRunner | InstanceRuns:
    """Train from a config file.

    Args:
        config: config file.
        work_dir: work folder (default: the config's, or else work_dirs/METHOD/CONFIG). Files of an earlier run are moved to
            ``earlier_run_K`` in it, unless this run resumes it. A run that fails before its first step leaves it unchanged.
        resume: continue from the newest checkpoint of the work folder, or from this one. The config's by default.
        options: values that override the config's, for example ``optim_wrapper.optimizer.lr=1e-3``. By dotted key.
        arguments: of :class:`deep3dmap.engine.runner.ReconstructionRunner` that override the config's.

    Returns:
        The runner after training; ``runner.framework`` is the trained framework. With ``instances`` in the config, the outcome
        of their runs.
    """
    cfg = load_config(config, options)
    folder = Path(work_dir or cfg.get("work_dir") or default_work_dir(config))
    resume = resume or cfg.get("resume", False)
    with locked_folder(folder):
        preflight(cfg)
        earlier = () if resume else [folder / name for name in TRAINED]
        with earlier_run_moved(folder, earlier, folder, keep=True), restored_on_early_failure(folder):
            if "instances" in cfg:
                return train_instances(cfg, folder, bool(resume), arguments, print)
            runner = build_runner(cfg, work_dir=str(folder), resume=resume, **arguments)
            runner.train()
    return runner


def default_work_dir(config: str | Path) -> Path:
    """``work_dirs/METHOD/NAME`` for ``configs/METHOD/NAME.py``."""
    config = Path(config)
    return Path("work_dirs") / config.parent.name / config.stem
