"""Evaluation during training, and the checkpoint with the best metric."""

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
    """Evaluates the (averaged) weights at intervals or after each stage, and keeps the best as ``checkpoints/best.pth``.

    Doesn't count as training time. Metrics are logged to ``scalars.jsonl`` as ``val_NAME``.

    Args:
        every_steps: steps between two evaluations; there is one at the end of training, too. None: after each stage.
        best: metric that selects the best checkpoint, as ``NAME`` or ``GROUP/NAME``; None keeps none.
        resolution: resolution of meshes; 0 for none.
        scale: size of rendered views relative to the photographs.
        max_seconds: time limit of one evaluation.
    """

    priority = "LOW"

    def __init__(self,
                 every_steps: Count | None = None,
                 best: str | None = None,
                 resolution: Whole = 0,
                 scale: Scale = 1.0,
                 max_seconds: NotNegative | None = None):
        self.every_steps, self.best, self.scale = every_steps, best, scale
        self.options = dict(resolution=resolution, max_seconds=max_seconds)
        self.value: float | None = None
        self.step = self.best_step = -1
        self._data = None

    def state_dict(self) -> dict:
        """The best value, and the step of the last evaluation."""
        return dict(value=self.value, step=self.step, best_step=self.best_step)

    def load_state_dict(self, state: Mapping) -> None:
        """Restore the result of :meth:`state_dict`."""
        self.value, self.step, self.best_step = state.get("value"), state.get("step", -1), state.get("best_step", -1)

    def describe(self) -> str:
        """The best value, as a clause."""
        if self.value is None:
            return ""
        return f"; best {self.best} {self.value:.4g} at step {self.best_step} (checkpoints/{BEST})"

    def before_run(self, runner) -> None:
        """Build data and metrics, to find errors before anything is written.

        Raises:
            ConfigError: if ``best`` is not a value of the metrics (as far as all of them declare their ``names``), or there
                are no metrics.
        """
        self._data, metrics = runner.build_validation_data(self.scale), self._metrics(runner)
        known = [metric.names for metric in metrics]
        if self.best is not None and None not in known:
            names = [name for each in known for name in each]
            if _plain(self.best) not in names:
                raise ConfigError(f"val_cfg.best='{self.best}' is not a value of the metrics in val_evaluator (or "
                                  f"test_evaluator): {nearest(_plain(self.best), names)}")

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Evaluate if due."""
        loop = runner.train_loop
        if loop.budget.spent if self.every_steps is None else loop.step % self.every_steps == 0:
            self.evaluate(runner)

    def after_train(self, runner) -> None:
        """Evaluate the last state."""
        if not runner.train_loop.interrupted:
            self.evaluate(runner)

    def _metrics(self, runner) -> list[Metric]:
        return [METRICS.build(m) for m in runner.val_evaluator_cfg or runner.test_evaluator_cfg or ()]

    def evaluate(self, runner) -> dict[str, dict[str, float]]:
        """Evaluate the current weights; returns the metrics by group."""
        loop, metrics = runner.train_loop, self._metrics(runner)
        if self.step == loop.step:
            return {}
        self.step = loop.step
        with loop.averages.applied(runner.framework):
            broadcast_module(runner.framework)  # running statistics differ between processes
            found = evaluate(runner.framework, self._data, metrics, keep=False, **self.options).metrics
        names = [name for figures in found.values() for name in figures]
        values = {f"val_{name}" if names.count(name) == 1 else f"val_{group}_{name}".replace(" ", "_"): value
                  for group, figures in found.items() for name, value in figures.items()}  # yapf: disable
        runner.record({"step": loop.step, "stage": loop.stage.name} | values)
        if self.best is not None:
            self._keep_best(runner, _figure(found, self.best), _is_higher_better(metrics, self.best))
        return found

    def _keep_best(self, runner, value: float, higher: bool) -> None:
        if math.isnan(value):
            runner.logger.warning(f"val_cfg.best: '{self.best}' is not a number at step {self.step}, so it is passed over")
        elif self.value is None or (value > self.value if higher else value < self.value):
            self.value, self.best_step = value, self.step
            runner.save_checkpoint(Path(runner.work_dir) / "checkpoints" / BEST)


def _figure(metrics: Mapping[str, Mapping[str, float]], wanted: str) -> float:
    """The metric of a name in any group, or of ``GROUP/NAME``."""
    found = {f"{group}/{name}": value for group, figures in metrics.items() for name, value in figures.items()}
    matching = [key for key in found if key == wanted or key.rpartition("/")[2] == wanted]
    if len(matching) != 1:
        problem = f"is in {', '.join(matching)}: give the group" if matching else f"is not a metric: {nearest(wanted, found)}"
        raise ConfigError(f"val_cfg.best='{wanted}' {problem}")
    return found[matching[0]]


def _is_higher_better(metrics: list[Metric], wanted: str) -> bool:
    return any(_plain(wanted) in metric.higher_is_better for metric in metrics)


def _plain(wanted: str) -> str:
    """The name in ``GROUP/NAME@THRESHOLD``."""
    return wanted.rpartition("/")[2].partition("@")[0]
