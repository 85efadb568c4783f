"""Evaluation while training runs, and the checkpoint with the best figure."""

import math
from collections.abc import Mapping
from pathlib import Path

from mmengine.hooks import Hook

from deep3dmap.annotations import Count, NotNegative, Scale, Whole
from deep3dmap.engine.testing import evaluate
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.processes import broadcast_module
from deep3dmap.registry import HOOKS, METRICS, nearest

BEST = "best.pth"


@HOOKS.register_module()
class ValidationHook(Hook):
    """Evaluates the (averaged) weights every so many steps, and keeps the best of them as ``checkpoints/best.pth``.

    Its time is not counted as training time. Figures go to ``scalars.jsonl`` as ``val_NAME``.

    Args:
        every_steps: steps of the run between two evaluations; there is one at the end of training, too.
        best: figure by which the best checkpoint is chosen, as ``NAME`` or ``GROUP/NAME``; None keeps none.
        resolution: of meshes; 0 for none.
        scale: of rendered views, relative to the photographs.
        max_seconds: of one evaluation.
    """

    priority = "LOW"

    def __init__(self,
                 every_steps: Count,
                 best: str | None = None,
                 resolution: Whole = 0,
                 scale: Scale = 1.0,
                 max_seconds: NotNegative | None = None):
        self.every_steps, self.best, self.scale = every_steps, best, scale
        self.options = dict(resolution=resolution, max_seconds=max_seconds)
        self.value: float | None = None
        self.step = -1
        self._data = None

    def state_dict(self) -> dict:
        """The best figure, and the step of the last evaluation."""
        return dict(value=self.value, step=self.step)

    def load_state_dict(self, state: Mapping) -> None:
        """Go on with what :meth:`state_dict` gave."""
        self.value, self.step = state.get("value"), state.get("step", -1)

    def before_train(self, runner) -> None:
        """Build the data, so that what is wrong with them is found before the first step."""
        self._data = runner.build_validation_data(self.scale)
        self._metrics(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Evaluate when it is time."""
        if runner.train_loop.step % self.every_steps == 0:
            self.evaluate(runner)

    def after_train(self, runner) -> None:
        """Evaluate the last state."""
        if not runner.train_loop.interrupted:
            self.evaluate(runner)

    def _metrics(self, runner) -> list[Metric]:
        return [METRICS.build(m) for m in runner.val_evaluator_cfg or runner.test_evaluator_cfg or ()]

    def evaluate(self, runner) -> dict[str, dict[str, float]]:
        """Evaluate the present weights; returns the figures by group."""
        loop, metrics = runner.train_loop, self._metrics(runner)
        if self.step == loop.step:
            return {}
        self.step = loop.step
        with loop.averages.applied(runner.framework):
            broadcast_module(runner.framework)  # running statistics are each process's own
            found = evaluate(runner.framework, self._data, metrics, keep=False, **self.options).metrics
        names = [name for figures in found.values() for name in figures]
        values = {f"val_{name}" if names.count(name) == 1 else f"val_{group}_{name}".replace(" ", "_"): value
                  for group, figures in found.items() for name, value in figures.items()}  # yapf: disable
        runner.record({"step": loop.step, "stage": loop.stage.name} | values)
        if self.best is not None:
            self._keep_best(runner, _figure(found, self.best), _is_higher_better(metrics, self.best))
        return found

    def _keep_best(self, runner, value: float, higher: bool) -> None:
        if not math.isnan(value) and (self.value is None or (value > self.value if higher else value < self.value)):
            self.value = value
            runner.save_checkpoint(Path(runner.work_dir) / "checkpoints" / BEST)


def _figure(metrics: Mapping[str, Mapping[str, float]], wanted: str) -> float:
    """The figure of that name in any group, or of ``GROUP/NAME``.

    Raises:
        ConfigError: if there is none, or several.
    """
    found = {f"{group}/{name}": value for group, figures in metrics.items() for name, value in figures.items()}
    matching = [key for key in found if key == wanted or key.rpartition("/")[2] == wanted]
    if len(matching) != 1:
        problem = f"is in {', '.join(matching)}: say which" if matching else f"is no figure: {nearest(wanted, found)}"
        raise ConfigError(f"val_cfg.best='{wanted}' {problem}")
    return found[matching[0]]


def _is_higher_better(metrics: list[Metric], wanted: str) -> bool:
    return any(wanted.rpartition("/")[2] in metric.higher_is_better for metric in metrics)
