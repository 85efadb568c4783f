"""Kills training at random moments and resumes it, again and again; for test_killed.py and tools/stress_resume.py.

Importing torch and the package takes seconds, a run of the tiny method here less. So one process imports everything and trains
once to warm up, and every run is a fork of it: a process of its own, ended by a real SIGKILL from outside. With one thread and
no GPU nothing is lost in a fork.
"""

import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.config import build_runner
from deep3dmap.io.files import PART
from tests.datasets.scenes import write_sphere

#: How many kills a whole run meets, about.
KILLS_IN_A_RUN = 5


def tiny_idr(folder: Path, steps: int = 20, fit_steps: int = 5, **hook) -> dict:
    """IDR on a small made capture, with all state that it may have: moving cameras, a cached grid, averaged weights, two
    stages, an optimiser for each part with its schedule.

    A checkpoint is written after every step, so that many kills meet one that is being written.
    """
    capture = folder / "sphere"
    if not capture.exists():
        write_sphere(capture)
    adam = dict(optimizer=dict(type="Adam", lr=2e-3))
    return dict(
        model=dict(type="IDR",
                   geometry=dict(width=32, depth=2, skip=[], frequencies=2, features=8),
                   radiance=dict(width=16, depth=1, features=8, view_frequencies=1),
                   renderer=dict(type="SphereTracer", iterations=4, samples=8, cache=dict(resolution=16, interval=3)),
                   train_cameras=True,
                   losses=dict(rgb=dict(type="ColorLoss"),
                               eikonal=dict(type="EikonalLoss", weight=0.1),
                               mask=dict(type="MaskLoss", weight=100.0, alpha=[50, 100]),
                               sdf=dict(type="SDFLoss"))),
        scene=dict(capture=str(capture)),
        train_dataset=dict(type="RayBatches", rays=32, focus=0.5),
        train_cfg=dict(average=0.9, stages=[
            dict(name="fit_sdf",
                 max_steps=fit_steps,
                 params=["geometry.*"],
                 optim_wrapper=adam,
                 train_dataset=dict(type="HullDistances", resolution=16, points=64)),
            dict(name="train", max_steps=steps - fit_steps),
        ]),
        optim_wrapper=dict(rest=adam, cameras=dict(optimizer=dict(type="SparseAdam", lr=1e-3))),
        param_scheduler=dict(type="ProgressLR", decay=0.1, warmup=4),
        default_hooks=dict(log=dict(interval=5), checkpoint=dict(dict(minutes=None, steps=1), **hook)),
    )  # yapf: disable


def train(config: dict, folder: Path, **arguments):
    """A run in this process, resumed where there is something to resume; returns its runner."""
    torch.set_num_threads(1)
    runner = build_runner(Config(config), **dict(work_dir=str(folder), device="cpu", resume=True, progress=False) | arguments)
    runner.train()
    return runner


def with_own_streams(work: Callable, *args) -> None:
    """Do some work in a fork, which prints to its descriptors and not to what pytest put in their place."""
    sys.stdout, sys.stderr = (open(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    work(*args)


class Forking(type(multiprocessing.get_context("fork"))):
    """A context of the pool of workers: its processes are forks of this one, which has imported everything."""

    def __init__(self):
        super().__init__()
        self.ours = []

    def Pipe(self):
        ours, theirs = super().Pipe()
        self.ours.append(ours)
        return ours, theirs

    def Process(self, target, **options):

        def work(*arguments) -> None:
            for pipe in self.ours:  # or a run whose parent was killed would wait for it forever
                pipe.close()
            with_own_streams(target, *arguments)

        return super().Process(target=work, **options)


def fork(work: Callable[[], object], terminal: int) -> int:
    """Do some work in a process of its own that prints to an open file or pipe; returns its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.dup2(terminal, 1)
        os.dup2(terminal, 2)
        with_own_streams(work)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def forked(*works: Callable[[], object]) -> tuple[list[int], str]:
    """Do each work in a process of its own, all at once; how they ended, and all that they printed."""
    with tempfile.TemporaryFile("w+") as output:
        children = [fork(work, output.fileno()) for work in works]
        codes = [wait(child) for child in children]
        output.seek(0)
        return codes, output.read()


def forked_ranks(world: int, *works: Callable[[], object]) -> tuple[list[int], str]:
    """Do works one after another in each of ``world`` processes with the variables that torchrun sets; as :func:`forked`."""
    ports = []
    for _ in works:
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])

    def process(rank: int) -> None:
        torch.set_num_threads(1)
        for work, port in zip(works, ports):
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), MASTER_ADDR="127.0.0.1",
                              MASTER_PORT=str(port))  # yapf: disable
            work()

    return forked(*(partial(process, rank) for rank in range(world)))


def state(folder: Path) -> dict:
    """What the newest checkpoint of a work folder holds, without the clock."""
    checkpoint = load_checkpoint(list_checkpoints(folder)[-1])
    loop = {k: v for k, v in checkpoint["loop"].items() if "seconds" not in k}
    return dict(weights=checkpoint["state_dict"], loop=loop, info=checkpoint["info"])


def differences(a, b, where: str = "") -> Iterator[str]:
    """Where two states are not the same, bit for bit."""
    if isinstance(a, torch.Tensor):
        same = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        if not same or a.numpy().tobytes() != b.numpy().tobytes():
            yield where
    elif isinstance(a, dict):
        if not isinstance(b, dict) or a.keys() != b.keys():
            yield where
            return
        for key in a:
            yield from differences(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        if not isinstance(b, type(a)) or len(a) != len(b):
            yield where
            return
        for k, pair in enumerate(zip(a, b)):
            yield from differences(*pair, f"{where}[{k}]")
    elif a != b:
        yield where


def recorded(folder: Path) -> list[int]:
    """The steps of a work folder's scalars."""
    return [json.loads(line)["step"] for line in (folder / "scalars.jsonl").read_text().splitlines()]


def parts(folder: Path) -> set[str]:
    """Checkpoints of a work folder that are being written, or were when their writer was killed."""
    place = folder / "checkpoints"
    return {name for name in os.listdir(place) if PART.fullmatch(name)} if place.is_dir() else set()


def ended(child: int) -> int | None:
    """How a process ended (0 is well, -9 by SIGKILL); None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if pid else None


def wait(child: int) -> int:
    """How a process ended, when it has."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill(child: int, folder: Path, delay: float, aim: float | None = None) -> int:
    """Kill a process after a delay; with ``aim``, so many seconds after it began to write a checkpoint, if it still does.

    Returns how it ended: 0 if it was quicker.
    """
    end = time.monotonic() + delay
    before: set[str] | None = None
    while (code := ended(child)) is None:
        if time.monotonic() >= end:
            now = parts(folder)
            if aim is not None and before is not None and now - before:
                time.sleep(aim)
                os.kill(child, signal.SIGSTOP)
                status = os.waitpid(child, os.WUNTRACED)[1]
                if not os.WIFSTOPPED(status):
                    return os.waitstatus_to_exitcode(status)
                now = parts(folder)
            if aim is None or (before is not None and now - before):
                os.kill(child, signal.SIGKILL)
                return wait(child)
            os.kill(child, signal.SIGCONT)  # nothing, unless it was stopped
            before = now
        time.sleep(0.0001 if time.monotonic() >= end else min(0.005, end - time.monotonic()))
    return code


class Stress:
    """Kills runs at random moments until enough were killed; every run is resumed to its end and compared.

    Args:
        folder: to write to.
        config: of a run.
        seed: of the moments.
    """

    def __init__(self, folder: Path, config: dict, seed: int = 0):
        self.folder, self.config, self.random = folder, config, random.Random(seed)
        self.log = open(folder / "output.txt", "w+")
        self.counts = dict(kills=0, inside_a_checkpoint=0, resumes=0, runs=0)
        self.wrong: list[str] = []

    def run(self, kills: int) -> dict:
        """Kill so many times; says what happened and whether all was ``identical``."""
        train(self.config, self.folder / "warm_up")
        start = time.monotonic()
        code, child = None, self._start(self.folder / "whole")
        while code is None and not list_checkpoints(self.folder / "whole"):
            time.sleep(0.002)
            code = ended(child)
        self.until_first = time.monotonic() - start
        self._check(wait(child) if code is None else code)
        self.training = time.monotonic() - start - self.until_first
        self.whole = state(self.folder / "whole")
        while self.counts["kills"] < kills:
            self._kill_a_run(kills)
        return dict(self.counts, steps=self.whole["loop"]["step"], identical=not self.wrong, different=self.wrong[:5])

    def _kill_a_run(self, kills: int) -> None:
        folder = self.folder / f"run_{self.counts['runs']}"
        code = -signal.SIGKILL
        while code == -signal.SIGKILL:
            before = parts(folder)
            self.counts["resumes"] += bool(list_checkpoints(folder))
            child, last = self._start(folder), self.counts["kills"] == kills
            code = wait(child) if last else self._kill(child, folder)
            if code == -signal.SIGKILL:
                self.counts["kills"] += 1
                self.counts["inside_a_checkpoint"] += bool(parts(folder) - before)
        self.counts["runs"] += 1
        self._check(code)
        self.wrong += [f"run {self.counts['runs']}: {where}" for where in differences(self.whole, state(folder))]
        self.wrong += [f"left over: {name}" for name in parts(folder)]
        if recorded(folder) != recorded(self.folder / "whole"):
            self.wrong.append(f"run {self.counts['runs']}: steps in scalars.jsonl")

    def _start(self, folder: Path) -> int:
        return fork(lambda: train(self.config, folder), self.log.fileno())

    def _check(self, code: int) -> None:
        if code:
            self.log.seek(0)
            raise RuntimeError(f"a run ended with {code}:\n{self.log.read()}")

    def _kill(self, child: int, folder: Path) -> int:
        """Every other kill waits for a checkpoint that is being written, and for up to two milliseconds then."""
        delay = self.random.uniform(0, self.until_first + 2 * self.training / KILLS_IN_A_RUN)
        aim = self.random.uniform(0, 0.002)
        return kill(child, folder, delay, aim if self.counts["kills"] % 2 else None)
