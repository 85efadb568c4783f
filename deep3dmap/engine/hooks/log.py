"""The live line of progress, and the scalars of a run (JSON lines and TensorBoard)."""

import json
import math
import resource
import sys
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook

from deep3dmap.registry import HOOKS


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory of this process: of the GPU where training runs on one, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03`` or ``2:03``."""
    if not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


@HOOKS.register_module()
class LogHook(Hook):
    """Writes the means of the last ``interval`` steps to ``scalars.jsonl``, TensorBoard and the terminal.

    On a terminal one line is rewritten in place; elsewhere (a file, a pipe) a plain line comes every ``seconds`` seconds.

    Args:
        interval: steps between two records.
        seconds: between two plain lines.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int = 10, seconds: float = 10.0):
        self.interval, self.seconds = interval, seconds
        self._sums: dict[str, torch.Tensor] = {}
        self._count, self._rays, self._since, self._printed = 0, 0, 0.0, -math.inf
        self._live = sys.stdout.isatty()

    def before_train(self, runner) -> None:
        """Forget records of steps that a resumed run does again."""
        path = Path(runner.work_dir) / "scalars.jsonl"
        if runner.rank == 0 and path.exists():
            lines = [line for line in path.read_text().splitlines() if _step_of(line) <= runner.iter]
            path.write_text("".join(line + "\n" for line in lines if _step_of(line) >= 0))
        self._since = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Add up; every ``interval`` steps, record."""
        for name, value in outputs.items():
            value = torch.as_tensor(value).detach().float().mean()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        self._rays += next((len(v) for v in data_batch.values() if isinstance(v, torch.Tensor) and v.ndim), 0)
        if self._count >= self.interval or runner.train_loop.budget.spent or runner.train_loop.interrupted:
            self._record(runner)

    def _record(self, runner) -> None:
        now, loop = time.perf_counter(), runner.train_loop
        elapsed = max(now - self._since, 1e-9)
        record = dict(step=loop.step, stage=loop.stage.name, stage_step=loop.budget.step, epoch=loop.epoch)
        record |= {name: (total / self._count).item() for name, total in self._sums.items()}
        record |= dict(
            lr=runner.optim_wrapper.param_groups[0]["lr"] if hasattr(runner.optim_wrapper, "param_groups") else None,
            items_per_second=self._rays * runner.world_size / elapsed,
            seconds=loop.seconds,
            memory_mib=peak_memory_mib(runner.target))
        self._sums, self._count, self._rays, self._since = {}, 0, 0, now
        if runner.rank != 0:
            return
        with open(Path(runner.work_dir) / "scalars.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")
        runner.visualizer.add_scalars({
            k: v
            for k, v in record.items() if isinstance(v, (int, float)) and k != "step"
        },
                                      step=loop.step)
        self._show(runner, record, now)

    def _show(self, runner, record: dict, now: float) -> None:
        loop = runner.train_loop
        last = loop.budget.spent or loop.interrupted
        if not self._live and not last and now - self._printed < self.seconds:
            return
        line = _line(record, loop)
        runner.logger.info(line)
        self._printed = now
        if runner.show_progress:
            print(f"\r{line}\x1b[K" if self._live else line, end="\n" if last or not self._live else "", flush=True)


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1  # a torn last line


def _line(record: dict, loop) -> str:
    losses = " ".join(f"{name.removeprefix('loss_')} {value:.4g}" for name, value in record.items() if name.startswith("loss"))
    limit = f"/{loop.budget.max_steps}" if loop.budget.max_steps else ""
    stages = f" ({loop.index + 1}/{len(loop.stages)})" if len(loop.stages) > 1 else ""
    return (f"{record['stage']}{stages} step {record['stage_step']}{limit} {loop.budget.fraction:4.0%} | {losses} | "
            f"{record['items_per_second']:,.0f} rays/s | ETA {duration(loop.budget.seconds_left)} | "
            f"{record['memory_mib']:,.0f} MiB")
