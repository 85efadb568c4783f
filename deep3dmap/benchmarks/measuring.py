"""Measurement of work: in a separate process, the fastest of a few runs, one line of JSON for each."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from deep3dmap.benchmarks.work import Job
from deep3dmap.engine.precision import timed
from deep3dmap.errors import Deep3DError
from deep3dmap.io.workers import DONE, run_tasks

REPEATS = 3
#: Work longer than this many seconds is measured once.
LONG = 20.0


def in_own_process(function: Callable[[Mapping], Any], case: Mapping, what: str) -> Any:
    """What a function returns for a case in a new process, whose peak memory is that of the case alone.

    Raises:
        Deep3DError: if it fails; says ``what``.
    """
    outcome = dict(run_tasks(function, [case], 1, math.inf, threads=torch.get_num_threads(), fresh=True))[0]
    if outcome.kind != DONE:
        raise Deep3DError(f"{what} failed: {outcome.reason}")
    return outcome.value


def result_line(case: Mapping, device: torch.device, cpu: float, wall: float) -> dict:
    """What was measured, and where, and its seconds."""
    what = {key: case[key] for key in ("name", "method", "network", "variant", "work", "unit") if key in case}
    where = dict(device=str(device), threads=torch.get_num_threads())
    return what | where | dict(cpu_seconds=rounded(cpu), wall_seconds=rounded(wall))


def rounded(value: float) -> float:
    """Four significant digits."""
    return float(f"{value:.4g}")


def least_cost(job: Job, device: torch.device, quick: bool) -> tuple[float, float, int]:
    """CPU and wall seconds of the fastest of a few runs, and their number."""
    times = [timed(job.run, device)]
    while not quick and len(times) < REPEATS and times[0][1] < LONG:
        times.append(timed(job.run, device))
    return min(t[0] for t in times), min(t[1] for t in times), len(times)


def mean_cost(job: Job, device: torch.device, quick: bool) -> tuple[float, float, int]:
    """CPU and wall seconds of one of several runs in a row, on average, and their number."""
    runs = 2 if quick else job.steps
    cpu, wall = timed(lambda: [job.run() for _ in range(runs)], device)
    return cpu / runs, wall / runs, runs
