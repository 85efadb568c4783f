"""Per-instance training: one run for each item of a data set, in the pool of worker processes.

Every run has its own work folder ``instances/NAME`` and is resumed separately. Processes that ``torchrun`` or Slurm started
share the items, every n-th, each with a pool of its own.
"""

import json
import math
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine import dist
from mmengine.config import Config

from deep3dmap.apis.work_folder import escaped, locked_folder
from deep3dmap.datasets import OneItem
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.engine.checkpoint import find_checkpoint
from deep3dmap.engine.config import build_runner, import_plugins
from deep3dmap.engine.launching import choose_device, launch
from deep3dmap.engine.test_data import TestData
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
    return _names(DATASETS.build(dict(cfg.instances.dataset)))


def _names(dataset: ItemDataset) -> list[str]:
    return [str(dataset[k]["name"]) for k in range(len(dataset))]


def instance_config(cfg: Config, index: int, timed: bool = False) -> Config:
    """The config of one instance's run; in a ``timed`` one every stage gets its part of the time."""
    values = {key: value for key, value in cfg.to_dict().items() if key not in ("instances", "test_dataloader")}
    one = dict(dataset=cfg.instances.dataset.to_dict(), index=index)
    if timed and (values.get("train_cfg") or {}).get("stages"):
        values["train_cfg"]["stages"] = sharing_time(values["train_cfg"]["stages"])
    values["train_dataset"] = dict(type="OneItemBatches", **one)
    values["test_dataloader"] = dict(batch_size=1, dataset=dict(type="OneItem", **one))
    if values.get("val_cfg") is not None:
        values["val_dataloader"] = values["test_dataloader"]
    return Config(values)


def sharing_time(stages: Sequence[Mapping]) -> list[dict]:
    """Stages that take at most their part of the time that is left, by their numbers of steps, so that none is left out when
    time is short; those that say their share or have no such number stay as they are."""
    found, left = [], 0
    for stage in reversed(stages):
        steps = stage.get("max_steps") or 0
        left += steps
        found.append(dict(max_share=steps / left) | stage if steps else dict(stage))
    return found[::-1]


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
    rank, world = dist.get_dist_info()
    names = instance_names(cfg)[rank::world]
    places = _places(names, folder)
    workers = min(cfg.instances.get("workers") or default_processes(), len(names)) or 1
    found = InstanceRuns(folder, names)
    todo = [k for k, place in enumerate(places) if not (resume and (place / FINISHED).is_file())]
    share = None if seconds is None else seconds / max(math.ceil(len(todo) / workers), 1)
    configs = [json.dumps(instance_config(cfg, rank + k * world, seconds is not None).to_dict()) for k in todo]
    alone = dict(arguments, launcher="none")
    tasks = [dict(config=text, filename=cfg.filename, folder=str(places[k]), resume=resume, arguments=alone, seconds=share)
             for k, text in zip(todo, configs)]  # yapf: disable
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


def _places(names: Sequence[str], folder: Path) -> list[Path]:
    return [folder / INSTANCES / escaped(name) for name in names]


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


def evaluate_instances(cfg: Config, folder: Path, arguments: Mapping, left_out: Collection[str] = ()) -> TestResult:
    """Evaluate the newest checkpoint of every instance's run in a work folder, other than of those that are ``left_out``.

    Raises:
        CheckpointError: if an instance has none.
    """
    metrics = [METRICS.build(metric) for metric in cfg.get("test_evaluator") or ()]
    options = {key: value for key, value in (cfg.get("test_cfg") or {}).items() if key in ("resolution", "max_seconds")}
    result = TestResult()
    dataset = DATASETS.build(dict(cfg.instances.dataset))  # once: finding what is in the pictures can take long
    names = _names(dataset)
    for k, (name, place) in enumerate(zip(names, _places(names, folder))):
        if name in left_out:
            continue
        torch.manual_seed(0)
        runner = build_runner(instance_config(cfg, k), work_dir=str(folder / "test"), progress=False, **arguments)
        runner.load_checkpoint(str(find_checkpoint(place)))
        found = evaluate(runner.framework, TestData(OneItem(dataset, k), dict(batch_size=1), runner.seed), metrics, **options)
        result.results += found.results
        result.metrics, result.files, result.notes = found.metrics, found.files, result.notes + found.notes
    result.notes = list(dict.fromkeys(result.notes))
    return result
