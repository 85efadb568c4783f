"""The pool of worker processes: independent tasks, each of which may fail, crash or hang without affecting the others.

Sampling of many meshes, trainings of one instance each, comparisons of methods and measurements all run in it.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from deep3dmap.errors import Deep3DError

DONE, REFUSED, FAILED = "done", "refused", "failed"
LONGEST_WAIT = 3600.0  # seconds; the system call takes no infinite time-out
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


def run_tasks(function: Callable,
              tasks: Sequence,
              processes: int,
              timeout: float,
              *,
              threads: int = 1,
              fresh: bool = False,
              logs: Sequence[Path] = (),
              grace: float = 0.0) -> Iterator[tuple[int, Outcome]]:
    """Call a function for each task, several at a time.

    Args:
        function: of one argument; found by its module and name, as in pickling.
        tasks: arguments.
        processes: maximum number of parallel processes.
        timeout: seconds after which a task is aborted and its process killed; may be infinite.
        threads: of each process.
        fresh: start a new process for each task, which may start others: for trainings, and for measurements of memory.
        logs: files for the output of each task; for fresh processes.
        grace: seconds between SIGTERM and SIGKILL for tasks still running when the iteration stops early.

    Yields:
        Number of a task and its outcome, in the order in which they finish. Closing the iterator ends all processes.
    """
    waiting, workers = list(range(len(tasks)))[::-1], []
    context = _context(function)
    try:
        while waiting or any(worker.busy for worker in workers):
            workers = [worker for worker in workers if worker.alive]
            while len(workers) < min(processes, len(waiting) + sum(worker.busy for worker in workers)):
                workers.append(_Worker(context, function, threads, not fresh))
            for worker in workers:
                if waiting and not worker.busy:
                    number = waiting.pop()
                    worker.start(number, (tasks[number], str(logs[number]) if logs else None), timeout)
            for number, outcome in _finished(workers, fresh):
                yield number, outcome
    finally:
        for worker in workers:
            if grace and worker.busy:
                worker.process.terminate()
        end = time.monotonic() + grace
        for worker in workers:
            worker.end(max(end - time.monotonic(), 0.0))


def _context(function: Callable):
    """Processes that share no threads with this one; a fork server, where available, imports the function's module once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    return context


def _finished(workers: list["_Worker"], fresh: bool) -> Iterator[tuple[int, Outcome]]:
    """Wait for a message, the end of a process, or a time-out; returns the outcomes."""
    busy = [worker for worker in workers if worker.busy]
    left = min(worker.deadline for worker in busy) - time.monotonic()
    wait([worker.pipe for worker in busy], min(max(left, 0), LONGEST_WAIT))
    for worker in busy:
        outcome = worker.outcome()
        if outcome is not None:
            number, worker.number = worker.number, None
            if fresh and worker.alive:
                worker.end(1.0)
            yield number, outcome


class _Worker:
    """A process and its current task."""

    def __init__(self, context, function: Callable, threads: int, daemon: bool):
        self.pipe, theirs = context.Pipe()
        self.number: int | None = None
        self.alive, self.deadline, self.timeout = True, 0.0, 0.0
        arguments = (theirs, function.__module__, function.__qualname__, threads, not daemon)
        self.process = context.Process(target=_work, args=arguments, daemon=daemon)
        self.process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        return self.number is not None

    def start(self, number: int, task, timeout: float) -> None:
        self.number, self.timeout, self.deadline = number, timeout, time.monotonic() + timeout
        try:
            self.pipe.send(task)
        except OSError:  # it ended while idle; reported through the broken pipe
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

    def end(self, grace: float = 0.0) -> None:
        self.alive = False
        self.pipe.close()
        self.process.join(grace if self.busy else 1)
        self.process.kill()
        self.process.join()


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _work(pipe: Connection, module: str, name: str, threads: int, alone: bool) -> None:
    """The main loop of a worker: receives tasks and sends outcomes until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    if alone:
        os.setpgid(0, 0)  # its task may handle Ctrl-C itself
        threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    import torch
    torch.set_num_threads(threads)
    function = None
    while True:
        try:
            task, log = pipe.recv()
            if log is not None:
                _print_to(log)
            function = function or getattr(importlib.import_module(module), name)
            pipe.send(_attempt(function, task))
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    """Terminate this process when its parent has ended."""
    wait([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _print_to(path: str) -> None:
    """Redirect the output of this process to a file."""
    with open(path, "ab", buffering=0) as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    sys.stdout.reconfigure(line_buffering=True)


def _attempt(function: Callable, task) -> tuple:
    try:
        return DONE, function(task), ""
    except Deep3DError as error:
        return REFUSED, None, str(error)
    except Exception as error:
        return FAILED, None, f"{type(error).__name__}: {error}"
