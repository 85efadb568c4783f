"""Progress on the terminal, and logging of scalars (JSON lines and TensorBoard)."""

import errno
import json
import math
import os
import resource
import shutil
import sys
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict

from deep3dmap.annotations import Count, NotNegative
from deep3dmap.io.files import OptionalFiles, write_atomically
from deep3dmap.processes import all_reduce
from deep3dmap.registry import HOOKS


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory of this process, MiB: GPU memory on a GPU, else resident memory.

    On Linux from ``/proc``, since child processes inherit the value of ``getrusage``.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def learning_rates(wrapper: OptimWrapper | OptimWrapperDict) -> dict[str, float]:
    """``lr`` of the optimiser, or ``lr_PART`` of each part's; of the first parameter group."""
    if not isinstance(wrapper, OptimWrapperDict):
        return {"lr": wrapper.param_groups[0]["lr"]}
    return {f"lr_{name}": each.param_groups[0]["lr"] for name, each in wrapper.items()}


@HOOKS.register_module()
class LogHook(Hook):
    """Logs the means since the last record (over all processes) to ``scalars.jsonl``, TensorBoard and the terminal, at
    every ``interval``-th step of a stage and at its end.

    On a terminal one line is updated in place; otherwise (a file, a pipe) a plain line is printed every ``seconds`` seconds.

    Args:
        interval: steps between two records.
        seconds: seconds between two plain lines.
        norms: also log the norm of every parameter (``norm_NAME``).
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: Count = 10, seconds: NotNegative = 10.0, norms: bool = False):
        self.interval, self.seconds, self.norms = interval, seconds, norms
        self._values: dict[str, list[torch.Tensor]] = {}
        self._count, self._counted, self._since, self._printed = 0, "", 0.0, -math.inf
        self._live = sys.stdout.isatty()
        self._scalars, self._curves, self._lines = (OptionalFiles(name) for name in ("scalars.jsonl", "the curves in vis_data",
                                                                                     "progress on the terminal"))

    def before_train(self, runner) -> None:
        """Drop records of steps that a resumed run repeats."""
        path = Path(runner.work_dir) / "scalars.jsonl"
        if runner.rank == 0 and path.exists():
            lines = [line for line in path.read_text().splitlines() if _step_of(line) <= runner.iter]
            with self._scalars.writing(runner.logger.warning):
                write_atomically(path, "".join(line + "\n" for line in lines if _step_of(line) >= 0).encode())
        self._since = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Accumulate; write a record at every ``interval``-th step."""
        for name, value in outputs.items():
            self._values.setdefault(name, []).append(torch.as_tensor(value).detach().float().mean())
        counts = {key: len(value) for key, value in data_batch.items() if isinstance(value, torch.Tensor) and value.ndim}
        self._counted = next(iter(counts), "")
        self._count += counts.get(self._counted, 0)
        if (batch_idx + 1) % self.interval == 0 or runner.train_loop.ending:
            self._record(runner)

    def _record(self, runner) -> None:
        now, loop = time.perf_counter(), runner.train_loop
        elapsed = max(now - self._since, 1e-9)
        record = dict(step=loop.step, stage=loop.stage.name, stage_step=loop.budget.step, epoch=loop.epoch)
        means = all_reduce(*(torch.stack(values).mean().item() for values in self._values.values()), op="mean")
        record |= dict(zip(self._values, means)) | learning_rates(runner.optim_wrapper)
        record |= dict(items_per_second=self._count * runner.world_size / elapsed,
                       seconds=loop.seconds,
                       memory_mib=peak_memory_mib(runner.target))
        if self.norms:
            record |= {f"norm_{name}": float(p.detach().norm()) for name, p in runner.framework.named_parameters()}
        self._values, self._count, self._since = {}, 0, now
        if runner.rank != 0:
            return
        self.write(runner, record)
        with self._lines.writing(runner.logger.warning):
            self._show(runner, _line(record, loop, runner.framework.items.get(self._counted, "items")), now, loop.ending)

    def write(self, runner, record: dict) -> None:
        """Write a record of a step, in the first process."""
        if runner.rank != 0:
            return
        with self._scalars.writing(runner.logger.warning):
            _append(Path(runner.work_dir) / "scalars.jsonl", json.dumps(record) + "\n")
        if not (self._scalars.failed or self._curves.warned):  # TensorBoard's writer does not survive a failure
            numbers = {k: v for k, v in record.items() if isinstance(v, (int, float)) and k != "step"}
            with self._curves.writing(runner.logger.warning):
                runner.visualizer.add_scalars(numbers, step=record["step"])

    def _show(self, runner, line: str, now: float, last: bool) -> None:
        due = last or now - self._printed >= self.seconds
        if due:
            runner.logger.info(line)
            self._printed = now
        if runner.show_progress and self._live:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be rewritten
            print(f"\r{line[:width]}\x1b[K", end="\n" if last else "", flush=True)
        elif runner.show_progress and due:
            print(line, flush=True)


def _append(path: Path, line: str) -> None:
    """Append a line completely or not at all."""
    with open(path, "ab", buffering=0) as file:
        end = file.seek(0, 2)
        data = line.encode()
        if file.write(data) < len(data):
            file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1  # an incomplete last line


def _line(record: dict, loop, items: str) -> str:
    losses = " ".join(f"{name.removeprefix('loss_')} {value:.4g}" for name, value in record.items() if name.startswith("loss"))
    limit = f"/{loop.budget.max_steps}" if loop.budget.max_steps else ""
    stages = f" ({loop.index + 1}/{len(loop.stages)})" if len(loop.stages) > 1 else ""
    return (f"{record['stage']}{stages} step {record['stage_step']}{limit} {loop.budget.fraction:4.0%} | "
            f"ETA {duration(loop.budget.seconds_left)} | {losses} | {record['items_per_second']:,.0f} {items}/s | "
            f"{record['memory_mib']:,.0f} MiB")
