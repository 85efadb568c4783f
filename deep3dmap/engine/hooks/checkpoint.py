"""Writing and pruning of checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.hooks import Hook

from deep3dmap.annotations import Count, NotNegative, Whole
from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.errors import TrainingError
from deep3dmap.registry import HOOKS


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes ``checkpoints/step_N.pth`` at regular intervals, and at the end or when training is interrupted.

    Args:
        minutes: training minutes between two checkpoints.
        steps: steps between two checkpoints, instead of or in addition to the minutes.
        keep: number of newest checkpoints to keep; 0 keeps all.
        at_minutes: training minutes at which to write one that is always kept (``minute_M.pth``).
    """

    priority = "VERY_LOW"

    def __init__(self,
                 minutes: NotNegative | None = 5.0,
                 steps: Count | None = None,
                 keep: Whole = 3,
                 at_minutes: Sequence[NotNegative] = ()):
        self.seconds = None if minutes is None else 60 * minutes
        self.steps, self.keep, self.at_minutes = steps, keep, sorted(at_minutes)
        self._last, self._saved = 0.0, -1

    def before_train(self, runner) -> None:
        """Skip the minutes that a resumed run has passed."""
        self._last = runner.train_loop.seconds
        self.at_minutes = [m for m in self.at_minutes if 60 * m > runner.train_loop.seconds]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write if due; at the end of an epoch only after schedules by epoch were updated."""
        if not runner.train_loop.starts_epoch:
            self._write_if_due(runner)

    def after_train_epoch(self, runner) -> None:
        """Write if due."""
        self._write_if_due(runner)

    def _write_if_due(self, runner) -> None:
        loop = runner.train_loop
        while self.at_minutes and loop.seconds >= 60 * self.at_minutes[0]:
            self._write(runner, f"minute_{self.at_minutes.pop(0):g}.pth")
        by_time = self.seconds is not None and loop.seconds - self._last >= self.seconds
        if by_time or (self.steps is not None and loop.step % self.steps == 0):
            self.save(runner)

    def after_train(self, runner) -> None:
        """Write the last state, also after an interrupt."""
        self.save(runner)

    def save(self, runner) -> None:
        """Write a checkpoint of the current step and remove the oldest."""
        loop = runner.train_loop
        if self._saved == loop.step:
            return
        self._write(runner, f"step_{loop.step:08d}.pth")
        self._last, self._saved = loop.seconds, loop.step
        if runner.rank == 0 and self.keep:
            for old in list_checkpoints(Path(runner.work_dir))[:-self.keep]:
                old.unlink(missing_ok=True)

    def _write(self, runner, name: str) -> None:
        broken = [n for n, p in runner.framework.named_parameters() if not bool(torch.isfinite(p).all())]
        if broken:
            raise TrainingError(f"step {runner.iter}: the parameters {', '.join(broken[:3])} are not finite, "
                                "so no checkpoint is written; the last one is kept. A smaller learning rate usually helps.")
        runner.save_checkpoint(Path(runner.work_dir) / "checkpoints" / name)
