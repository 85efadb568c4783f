"""Evaluation while training runs, and the best checkpoint."""

import math
from pathlib import Path

import pytest
import torch

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.registry import METRICS
from tests.engine.test_resume import scalars, state


@METRICS.register_module()
class Scripted(Metric):
    """Gives figures that were written down before, one after the other."""

    higher_is_better = ("gain", )
    values: list[float] = []

    def __init__(self, name: str = "error", groups: tuple = ("one", )):
        self.name, self.groups, self.seen = name, groups, 0

    def add_item(self, item, result):
        self.seen += 1
        return {}

    def compute(self):
        value = Scripted.values.pop(0) if Scripted.values else 0.0
        return {group: {self.name: value, f"{self.name}_items": self.seen} for group in self.groups}


@METRICS.register_module()
class SeenHeight(Metric):
    """The height at position -1, by which the weights that are evaluated can be told."""

    def compute(self):
        return dict(line=dict(height=self.height))

    def add_item(self, item, result):
        self.height = float(result.arrays["y"])
        return {}


@pytest.fixture
def validated(line_config, runner_of, tmp_path):
    """Trains for 4 steps with scripted figures; returns the work folder."""

    def train(figures: list[float],
              best: str | None,
              folder: Path = tmp_path / "work",
              steps: int = 4,
              resume=False,
              **metric):
        Scripted.values = list(figures)
        config = line_config(train_cfg__stages=[dict(name="train", max_steps=steps)], val_cfg=dict(every_steps=1, best=best),
                             val_dataloader=dict(dataset=dict(type="NoisyLine", count=3), batch_size=2),
                             val_evaluator=[dict(type="Scripted", **metric)],
                             default_hooks__checkpoint=dict(steps=1, keep=0, minutes=None))  # yapf: disable
        runner_of(config, folder, resume=resume).train()
        return folder

    return train


def best_of(folder: Path) -> dict:
    """The loop's state in the best checkpoint."""
    return load_checkpoint(folder / "checkpoints" / "best.pth")["loop"]


@pytest.mark.parametrize("name, figures, step", [
    ("error", [3.0, 1.0, 2.0, 1.0], 2),
    ("gain", [3.0, 1.0, 4.0, 2.0], 3),
    ("error", [math.nan, 2.0, math.nan, 3.0], 2),
    ("gain", [math.nan, 2.0, 3.0, math.nan], 3),
])  # yapf: disable
def test_the_best_checkpoint_has_the_lowest_figure_or_the_highest_where_that_is_better(name, figures, step, validated):
    folder = validated(figures, name, name=name)
    assert best_of(folder)["step"] == step and best_of(folder)["validation"]["value"] == figures[step - 1]
    assert list_checkpoints(folder)[-1].name == "step_00000004.pth"  # the best is none that a run goes on from by itself


def test_without_best_no_checkpoint_is_kept_for_it(validated):
    assert not (validated([1.0], None) / "checkpoints" / "best.pth").exists()


def test_a_resumed_run_compares_with_what_was_best_before(validated):
    folder = validated([3.0, 1.0], "error", steps=2)
    validated([2.0, 1.5], "error", resume=True)
    assert best_of(folder)["step"] == 2
    assert [record["val_error"] for record in scalars(folder) if "val_error" in record] == [3.0, 1.0, 2.0, 1.5]


def test_a_figure_of_a_group_is_named_with_its_group(validated):
    folder = validated([3.0, 1.0, 2.0], "two/error", steps=1, groups=["one", "two"])
    assert best_of(folder)["validation"]["value"] == 3.0
    record, = (record for record in scalars(folder) if "val_one_error" in record)
    assert record["val_two_error"] == 3.0 and record["val_one_error_items"] == 3


@pytest.mark.parametrize("best, groups, message", [
    ("error", ["one", "two"], "val_cfg.best='error' is in one/error, two/error"),
    ("eror", ["one"], "val_cfg.best='eror' .*one/error"),
])  # yapf: disable
def test_a_figure_of_several_groups_or_an_unknown_one_is_refused(best, groups, message, validated):
    with pytest.raises(ConfigError, match=message):
        validated([1.0], best, groups=groups)


@pytest.mark.parametrize("metrics, best, message", [
    (["ViewMetrics", "SurfaceMetrics"], "pnsr", "did you mean 'psnr'"),
    (["ShapeMetrics"], "mean/f_scor@0.01", "did you mean 'f_score'"),
    ([], "psnr", "val_evaluator"),
])  # yapf: disable
def test_a_best_that_no_metric_has_is_refused_before_the_first_step(metrics, best, message, line_config, runner_of):
    runner = runner_of(line_config(val_cfg=dict(every_steps=1, best=best), val_dataset=dict(type="NoisyLine", count=1),
                                   val_evaluator=[dict(type=name) for name in metrics]))  # yapf: disable
    with pytest.raises(ConfigError, match=f"val_cfg.best='{best}'.*{message}"):
        runner.train()
    assert runner.iter == 0


def test_validation_without_data_is_refused_before_the_first_step(line_config, runner_of):
    runner = runner_of(line_config(val_cfg=dict(every_steps=1)))
    with pytest.raises(ConfigError, match="val_dataset or val_dataloader"):
        runner.train()
    assert runner.iter == 0


def test_the_test_measures_where_the_validation_names_no_metrics(line_config, runner_of, tmp_path):
    config = line_config(train_cfg__stages=[dict(name="train", max_steps=3)], val_cfg=dict(every_steps=2),
                         val_dataset=dict(type="NoisyLine", count=1), test_evaluator=[dict(type="Scripted")])  # yapf: disable
    runner_of(config, tmp_path).train()
    assert [record["step"] for record in scalars(tmp_path) if "val_error" in record] == [2, 3]  # and once at the end


def test_without_a_number_of_steps_each_stage_ends_with_a_validation(line_config, runner_of, tmp_path):
    stages = [dict(name="train", max_steps=steps) for steps in (3, 1, 2)]
    config = line_config(train_cfg__stages=stages, val_cfg=dict(), val_dataset=dict(type="NoisyLine", count=1),
                         val_evaluator=[dict(type="Scripted")])  # yapf: disable
    runner_of(config, tmp_path).train()
    assert [record["step"] for record in scalars(tmp_path) if "val_error" in record] == [3, 4, 6]


def test_averages_are_validated_and_the_trained_weights_go_on(line_config, runner_of, tmp_path):
    changes = dict(train_cfg__stages=[dict(name="train", max_steps=4)], train_cfg__average=0.8)
    config = line_config(**changes, val_cfg=dict(every_steps=2), val_dataset=dict(type="NoisyLine", count=1),
                         val_evaluator=[dict(type="SeenHeight")],
                         default_hooks__checkpoint=dict(steps=1, keep=0, minutes=None))  # yapf: disable
    framework = runner_of(config, tmp_path / "a").train()
    assert framework.training
    heights = {record["step"]: record["val_height"] for record in scalars(tmp_path / "a") if "val_height" in record}
    for step, height in heights.items():
        checkpoint = load_checkpoint(tmp_path / "a" / "checkpoints" / f"step_{step:08d}.pth")
        average, trained = (
            {name.removeprefix("backbone."): float(value) for name, value in weights.items() if "backbone" in name}
            for weights in (checkpoint["state_dict"], checkpoint["loop"]["weights"]))  # yapf: disable
        assert height == pytest.approx(average["intercept"] - average["slope"])
        assert abs(height - (trained["intercept"] - trained["slope"])) > 1e-3
    runner_of(line_config(**changes), tmp_path / "b").train()
    without, own = state(tmp_path / "b")["loop"], state(tmp_path / "a")["loop"]
    assert all(torch.equal(without["weights"][name], value) for name, value in own["weights"].items())
