"""Many independent tasks in separate processes, each of which may fail, crash or hang without affecting the others."""

import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from deep3dmap.errors import Deep3DError

DONE, REFUSED, FAILED = "done", "refused", "failed"
THREADS = ("OMP_NUM_THREADS", "IGL_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Outcome(NamedTuple):
    """The outcome of a task.

    Attributes:
        kind: ``done``; ``refused`` (a :class:`Deep3DError`: invalid input); or ``failed`` (any other exception, a
            crash, a time-out).
        value: what the function returned, if it is done.
        reason: of the failure, otherwise.
    """

    kind: str
    value: object = None
    reason: str = ""


def default_processes() -> int:
    """The number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(function: Callable, tasks: Sequence, processes: int, timeout: float) -> Iterator[tuple[int, Outcome]]:
    """Call a function for each task, several at a time, each process on one thread.

    Args:
        function: of one argument; found by its module and name, as in pickling.
        tasks: arguments.
        processes: how many run at once.
        timeout: seconds after which a task is aborted and its process killed.

    Yields:
        Index and outcome of each task as it finishes. Processes end when the iteration stops.
    """
    waiting, workers = list(range(len(tasks)))[::-1], []
    context = _context(function)
    try:
        while waiting or any(worker.busy for worker in workers):
            workers = [worker for worker in workers if worker.alive]
            while len(workers) < min(processes, len(waiting) + sum(worker.busy for worker in workers)):
                workers.append(_Worker(context, function))
            for worker in workers:
                if waiting and not worker.busy:
                    worker.start(number := waiting.pop(), tasks[number], timeout)
            yield from _finished(workers)
    finally:
        for worker in workers:
            worker.end()


def _context(function: Callable):
    """Processes that share no threads with this one; a fork server, where available, imports the function's module once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    return context


def _finished(workers: list["_Worker"]) -> Iterator[tuple[int, Outcome]]:
    """The outcomes available after the next event: a message, a crash, or a timeout."""
    busy = [worker for worker in workers if worker.busy]
    wait([worker.pipe for worker in busy], max(0, min(worker.deadline for worker in busy) - time.monotonic()))
    for worker in busy:
        outcome = worker.outcome()
        if outcome is not None:
            yield worker.number, outcome
            worker.number = None


class _Worker:
    """A process and its current task."""

    def __init__(self, context, function: Callable):
        self.pipe, theirs = context.Pipe()
        self.number: int | None = None
        self.alive, self.deadline, self.timeout = True, 0.0, 0.0
        self.process = context.Process(target=_work, args=(theirs, function.__module__, function.__qualname__), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        return self.number is not None

    def start(self, number: int, task, timeout: float) -> None:
        self.number, self.timeout, self.deadline = number, timeout, time.monotonic() + timeout
        try:
            self.pipe.send(task)
        except OSError:  # it died while idle; reported through the broken pipe
            pass

    def outcome(self) -> Outcome | None:
        """The task's outcome; None while it runs."""
        try:
            if self.pipe.poll():
                return Outcome(*self.pipe.recv())
        except (EOFError, OSError):
            self.process.join(5)  # so that its exit code is available
            self.end()
            return Outcome(FAILED, reason=f"its process {_ending(self.process.exitcode)}")
        if time.monotonic() < self.deadline:
            return None
        self.end()
        return Outcome(FAILED, reason=f"took longer than {self.timeout:g} s and was aborted")

    def end(self) -> None:
        self.alive = False
        self.pipe.close()
        self.process.join(0 if self.busy else 1)
        self.process.kill()
        self.process.join()


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _work(pipe: Connection, module: str, name: str) -> None:
    """A worker's loop: receives tasks, sends outcomes, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main process ends the others
    os.environ.update(dict.fromkeys(THREADS, "1"))
    import torch
    torch.set_num_threads(1)
    function = getattr(importlib.import_module(module), name)
    while True:
        try:
            pipe.send(_attempt(function, pipe.recv()))
        except (EOFError, OSError):
            return


def _attempt(function: Callable, task) -> tuple:
    try:
        return DONE, function(task), ""
    except Deep3DError as error:
        return REFUSED, None, str(error)
    except Exception as error:
        return FAILED, None, f"{type(error).__name__}: {error}"
