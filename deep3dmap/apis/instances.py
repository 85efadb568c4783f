"""Per-instance training: one run for each item of a data set, in the pool of worker processes.

Every run has its own work folder ``instances/NAME`` and is resumed separately. Processes that ``torchrun`` or Slurm started
share the items, every n-th, each with a pool of its own.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine import dist
from mmengine.config import Config

from deep3dmap.apis.work_folder import escaped, locked_folder
from deep3dmap.engine.checkpoint import find_checkpoint
from deep3dmap.engine.config import build_runner, import_plugins
from deep3dmap.engine.launching import choose_device, launch
from deep3dmap.engine.testing import TestResult, evaluate
from deep3dmap.io.files import write_atomically
from deep3dmap.io.workers import DONE, default_processes, run_tasks
from deep3dmap.processes import all_reduce
from deep3dmap.registry import DATASETS, METRICS, load_plugins

INSTANCES, FINISHED, OUTPUT = "instances", "finished.json", "output.txt"
#: Seconds for runs to write their last checkpoint after an interrupt; seconds to wait for an earlier run in the same folder.
GRACE, PATIENCE = 30.0, 60.0


@dataclass
class InstanceRuns:
    """Outcome of the runs.

    Attributes:
        folder: work folder of all runs.
        names: names of this process's instances, in the order of the data set.
        failures: reasons by name.
        interrupted: names of interrupted runs, whose state is saved.
    """

    folder: Path
    names: list[str]
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)

    def report(self) -> tuple[str, int]:
        """What to print, and the exit code."""
        if self.interrupted:
            return f"interrupted; state saved in {self.folder}. Continue with the same command and --resume", 130
        lines = [f"{name} failed: {reason}" for name, reason in self.failures.items()]
        done = len(self.names) - len(self.failures)
        return "\n".join([*lines, f"{self.folder}: {done} of {len(self.names)} instances trained"]), int(bool(self.failures))


def instance_names(cfg: Config) -> list[str]:
    """Names of the instances of a config."""
    dataset = DATASETS.build(dict(cfg.instances.dataset))
    return [str(dataset[k]["name"]) for k in range(len(dataset))]


def instance_config(cfg: Config, index: int) -> Config:
    """The config of one instance's run."""
    values = {key: value for key, value in cfg.to_dict().items() if key not in ("instances", "test_dataloader")}
    one = dict(dataset=cfg.instances.dataset.to_dict(), index=index)
    values["train_dataset"] = dict(type="OneItemBatches", **one)
    values["test_dataloader"] = dict(batch_size=1, dataset=dict(type="OneItem", **one))
    if values.get("val_cfg") is not None:
        values["val_dataloader"] = values["test_dataloader"]
    return Config(values)


def train_instances(cfg: Config,
                    folder: Path,
                    resume: bool,
                    arguments: Mapping,
                    log: Callable[[str], object],
                    seconds: float | None = None) -> InstanceRuns:
    """Train one run for each instance.

    Args:
        cfg: config with ``instances``: ``dataset`` and ``workers`` (parallel runs; one for each core by default).
        folder: work folder.
        resume: skip finished runs and resume the others; otherwise all start from scratch.
        arguments: of the runner.
        log: prints a line.
        seconds: time limit of all runs together; None for their budgets alone.

    Returns:
        Their outcome; after Ctrl-C once running ones have saved their state.
    """
    launcher = arguments.get("launcher") or cfg.get("launcher", "none")
    if launcher != "none":
        launch(launcher, choose_device(arguments.get("device") or cfg.get("device", "auto")))
        all_reduce(0.0)  # a barrier: the first process has moved an earlier run away
    names, places = instance_names(cfg), _places(cfg, folder)
    rank, world = dist.get_dist_info()
    names, places = names[rank::world], places[rank::world]
    workers = min(cfg.instances.get("workers") or default_processes(), len(names)) or 1
    found = InstanceRuns(folder, names)
    todo = [k for k, place in enumerate(places) if not (resume and (place / FINISHED).is_file())]
    share = None if seconds is None else seconds * workers / max(len(todo), 1)
    tasks = [dict(config=json.dumps(instance_config(cfg, rank + k * world).to_dict()), filename=cfg.filename,
                  folder=str(places[k]), resume=resume, arguments=dict(arguments, launcher="none"), seconds=share)
             for k in todo]  # yapf: disable
    for k in todo:
        places[k].mkdir(parents=True, exist_ok=True)
    runs = run_tasks(run_instance, tasks, workers, math.inf, threads=max(default_processes() // workers, 1), fresh=True,
                     logs=[places[k] / OUTPUT for k in todo], grace=GRACE)  # yapf: disable
    try:
        for done, (number, outcome) in enumerate(runs, 1):
            name = names[todo[number]]
            if outcome.kind != DONE:
                found.failures[name] = outcome.reason
            elif outcome.value["interrupted"]:
                found.interrupted.append(name)
            log(f"{done}/{len(todo)} {name}: {outcome.reason or '{steps} steps, {seconds:.0f} s'.format(**outcome.value)}")
    except KeyboardInterrupt:
        found.interrupted = [name for name, place in zip(names, places) if not (place / FINISHED).is_file()]
    return found


def _places(cfg: Config, folder: Path) -> list[Path]:
    return [folder / INSTANCES / escaped(name) for name in instance_names(cfg)]


def run_instance(task: Mapping) -> dict:
    """Train one instance in a worker process; returns its steps, seconds, and whether it was interrupted."""
    os.environ["RANK"] = "0"  # the first and only process of its run, whatever started this one
    cfg, folder = Config(json.loads(task["config"])), Path(task["folder"])
    load_plugins()
    import_plugins(cfg.get("custom_imports"), Path(task["filename"]))
    deadline = None if task["seconds"] is None else time.monotonic() + task["seconds"]
    with locked_folder(folder, PATIENCE):
        runner = build_runner(cfg, work_dir=str(folder), resume=task["resume"], deadline=deadline, **task["arguments"])
        runner.train()
        loop = runner.train_loop
        found = dict(steps=loop.step, seconds=loop.seconds, interrupted=loop.interrupted)
        if not loop.interrupted:
            write_atomically(folder / FINISHED, json.dumps(found).encode())
    return found


def evaluate_instances(cfg: Config, folder: Path, arguments: Mapping) -> TestResult:
    """Evaluate the newest checkpoint of every instance's run in a work folder.

    Raises:
        CheckpointError: if an instance has none.
    """
    metrics = [METRICS.build(metric) for metric in cfg.get("test_evaluator") or ()]
    options = {key: value for key, value in (cfg.get("test_cfg") or {}).items() if key in ("resolution", "max_seconds")}
    result = TestResult()
    for k, place in enumerate(_places(cfg, folder)):
        torch.manual_seed(0)
        runner = build_runner(instance_config(cfg, k), work_dir=str(folder / "test"), progress=False, **arguments)
        runner.load_checkpoint(str(find_checkpoint(place)))
        found = evaluate(runner.framework, runner.build_test_data(), metrics, **options)
        result.results += found.results
        result.metrics, result.files, result.notes = found.metrics, found.files, result.notes + found.notes
    result.notes = list(dict.fromkeys(result.notes))
    return result
