"""Testing a framework that has neither views nor a mesh."""

import pytest
import torch

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.evaluation.base import Metric
from deep3dmap.registry import METRICS


@METRICS.register_module()
class HeightError(Metric):
    """Mean difference of the heights."""

    def __init__(self):
        self.errors = []

    def add_item(self, item, result):
        self.errors.append(float((result.arrays["y"] - item["height"]).abs()))
        return {}

    def compute(self):
        return dict(line=dict(height_error=sum(self.errors) / len(self.errors), items=len(self.errors)))


def test_plain_items_are_predicted_one_by_one_for_the_metrics(line_config, runner_of):
    runner = runner_of(
        line_config(test_dataset=dict(type="NoisyLine", noise=0.0, count=5), test_evaluator=[dict(type="HeightError")]))
    runner.framework.backbone.slope.data.fill_(2.0)
    result = runner.test()  # the intercept is 1 too large
    assert result.metrics["line"] == dict(height_error=pytest.approx(1.0), items=5)
    assert result.mesh is None and [each.result.name for each in result.results] == [f"{k:05d}" for k in range(5)]


def test_testing_leaves_the_framework_in_training_as_it_was(line_config, runner_of):
    runner = runner_of(line_config(test_dataset=dict(type="NoisyLine", noise=0.0, count=2)))
    runner.framework.train()
    runner.test()
    assert runner.framework.training and torch.is_grad_enabled()


def test_testing_without_a_dataset_is_refused(line_config, runner_of):
    with pytest.raises(ConfigError, match="test_dataset or test_dataloader"):
        runner_of(line_config()).test()


def test_a_prediction_without_an_entry_for_each_item_is_told(line_config, runner_of):
    runner = runner_of(line_config(test_dataloader=dict(dataset=dict(type="NoisyLine", count=3), batch_size=2)))
    runner.framework.forward = lambda inputs, mode: dict(slope=torch.zeros(1))
    with pytest.raises(DataError, match=r"LineFit predicts 'slope' with shape \(1,\) for 2 items"):
        runner.test()
