"""Runs that meet a full disk or a signal from outside, each in a process of its own; for test_killed.py.

The folder given holds ``config.py`` and gets ``whole``, the work folder of a run that nothing disturbed. Every case leaves a
work folder of its name and ``CASE.txt``, what it had shown on its terminal.

A full disk is a limit on the size of files: the system refuses what goes beyond, as it does on a full disk.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmengine.hooks import Hook

import deep3dmap.apis  # noqa: F401 - the module of test()
from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import list_checkpoints, step_of
from deep3dmap.engine.runner import ReconstructionRunner
from deep3dmap.registry import HOOKS
from tests.engine.killing import ended, fork, wait


def allow(size: int) -> None:
    """No file may grow beyond this size; negative: any may."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@HOOKS.register_module()
class FullBetween(Hook):
    """The disk is full from the end of one step to the end of another."""

    priority = "HIGHEST"

    def __init__(self, first: int, last: int = -1, size: int = 0):
        self.first, self.last, self.size = first, last, size

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter == self.first:
            allow(self.size)
        if runner.iter == self.last:
            allow(-1)


@HOOKS.register_module()
class Slow(Hook):
    """Gives the parent time to send signals: a step within a stage, after as many checkpoints as it waits for, takes long."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        time.sleep(0.5 if runner.iter == 5 else 0.0)


def train(root: Path, work: Path, *options: str) -> int:
    """``deep3dmap train`` in this process; returns its exit code."""
    return main(["train", str(root / "config.py"), "--work-dir", str(work), "--device", "cpu", "--resume", *options])


def end(*arguments) -> None:
    """Train, and end this process."""
    os._exit(train(*arguments))


def hook(cls: str, **arguments) -> list[str]:
    return ["--cfg-options", f"custom_hooks={[dict(type=cls, **arguments)]}"]


def full_before(owner, name: str) -> None:
    """The disk is full when this function is called."""
    function = getattr(owner, name)
    setattr(owner, name, lambda *arguments: (allow(0), function(*arguments))[1])


def full_for_the_config(root: Path, work: Path) -> None:
    allow(0)
    end(root, work)


def full_at_the_start(root: Path, work: Path) -> None:
    full_before(ReconstructionRunner, "dump_config")
    end(root, work)


def full_for_a_checkpoint(root: Path, work: Path) -> None:
    size = list_checkpoints(root / "whole")[-1].stat().st_size
    end(root, work, *hook("FullBetween", first=7, size=size // 2))


def full_for_a_while(root: Path, work: Path) -> None:
    """All but checkpoints is written at every step, also pictures, and nothing can be from step 5 to 9."""
    end(root, work, *hook("FullBetween", first=5, last=9), "default_hooks.checkpoint.steps=12", "default_hooks.log.interval=1",
        "default_hooks.pictures.type=PictureHook", "default_hooks.pictures.minutes=0", "default_hooks.pictures.scale=0.2")


def full_when_testing(root: Path, work: Path) -> None:
    full_before(sys.modules["deep3dmap.apis.test"], "write_result")
    os._exit(main(["test", str(root / "config.py"), str(root / "whole"), "--work-dir", str(work), "--device", "cpu"]))


def full_when_exporting(root: Path, work: Path) -> None:
    work.mkdir()
    allow(0)
    os._exit(main(["export-mesh", str(root / "whole"), str(work / "mesh.ply"), "--resolution", "16", "--device", "cpu"]))


def small_disk(root: Path, work: Path) -> None:
    """All checkpoints are kept on a file system with room for five; it ends with 77 where none may be mounted."""
    work.mkdir()
    size = list_checkpoints(root / "whole")[-1].stat().st_size
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={5 * size}", "tmpfs", work], capture_output=True).returncode:
        os._exit(77)
    try:
        code = train(root, work, "--cfg-options", "default_hooks.checkpoint.keep=0")
        shutil.copytree(work, root / "small_disk_copy")
    finally:
        subprocess.run(["umount", "--lazy", work], check=True)
    os._exit(code)


def run(case: Callable[[Path, Path], object], root: Path, *numbers: int, name: str | None = None) -> int:
    """A case in a process of its own; with signals, sent to it one after the other once a few checkpoints are there."""
    name = name or case.__name__
    reader, writer = os.pipe()
    child, code = fork(partial(case, root, root / name), writer), None
    os.close(writer)
    while code is None and numbers and max(map(step_of, list_checkpoints(root / name)), default=0) < 4:
        time.sleep(0.005)
        code = ended(child)
    for number in numbers:
        os.kill(child, number)
        time.sleep(0.001)
    with open(reader) as terminal:
        (root / f"{name}.txt").write_text(terminal.read())
    return wait(child) if code is None else code


def slowly(root: Path, work: Path) -> None:
    end(root, work, *hook("Slow"))


def resumed(root: Path, work: Path) -> None:
    end(root, root / work.name.removesuffix("_resumed"))


FULL = [full_for_the_config, full_at_the_start, full_for_a_checkpoint, full_for_a_while, small_disk]
FULL += [full_when_testing, full_when_exporting]
SIGNALLED = dict(interrupted=[signal.SIGINT], terminated=[signal.SIGTERM] * 2, interrupted_twice=[signal.SIGINT] * 2)


def run_all(root: Path) -> None:
    """All cases; how their processes ended goes into ``ends.json``."""
    train(root, root / "whole")
    ends = {case.__name__: run(case, root) for case in FULL}
    ends |= {name: run(slowly, root, *numbers, name=name) for name, numbers in SIGNALLED.items()}
    for name in ("full_for_a_checkpoint", *SIGNALLED):
        ends[f"{name}_resumed"] = run(resumed, root, name=f"{name}_resumed")
    (root / "ends.json").write_text(json.dumps(ends))
