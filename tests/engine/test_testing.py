"""Testing a framework that has neither views nor a mesh."""

import pytest
import torch

from deep3dmap.datasets.kinds import ClipDataset
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.evaluation.base import Metric
from deep3dmap.registry import DATASETS, METRICS
from deep3dmap.structures import Reconstruction


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


def test_what_a_data_set_left_out_is_among_the_notes(line_config, runner_of, monkeypatch):
    runner = runner_of(line_config(test_dataset=dict(type="NoisyLine", noise=0.0, count=2)))
    monkeypatch.setattr(DATASETS.get("NoisyLine"), "notes", ["b.png: damaged"], raising=False)
    assert runner.test().notes == ["b.png: damaged"]


@DATASETS.register_module()
class TwoRecordings(ClipDataset):
    """Recordings of 3 and 2 clips."""

    def __len__(self):
        return 5

    def sequences(self):
        return [range(3), range(3, 5)]

    def load(self, index):
        return dict(name="long" if index < 3 else "short", frame=index)

    def info(self):
        return dict(span=[-1.0, 1.0])


@METRICS.register_module()
class SeenFrames(Metric):
    """The frames of each recording."""

    def add_item(self, item, result):
        self.frames = getattr(self, "frames", {}) | {result.name: [clip["frame"] for clip in item["clips"]]}
        return {}

    def compute(self):
        return dict(frames=self.frames)


def test_metrics_get_the_items_of_all_clips_of_a_result_and_reconstruction_takes_no_gradients(line_config, runner_of):
    runner = runner_of(line_config(test_dataset=dict(type="TwoRecordings"), test_evaluator=[dict(type="SeenFrames")]))

    def reconstruct(item, resolution):
        assert not torch.is_grad_enabled()
        yield Reconstruction(item["name"], partial=not item["ends"])

    runner.framework.reconstruct = reconstruct
    assert runner.test().metrics["frames"] == dict(long=[0, 1, 2], short=[3, 4])


@pytest.mark.parametrize("owner, method, value, message", [
    ("framework", "reconstruct", None, "LineFit.reconstruct must return a Iterable, got a NoneType"),
    ("framework", "reconstruct", [dict(y=1)], "LineFit.reconstruct, for each item, must return a Reconstruction, got a dict"),
    ("framework", "forward", torch.zeros(1), "LineFit.forward must return a Mapping, got a Tensor"),
    ("metric", "add_item", 3.0, "HeightError.add_item must return a Mapping, got a float"),
    ("metric", "compute", dict(line=1.0), "HeightError.compute, group 'line', must return a Mapping, got a float"),
])
def test_a_result_of_the_wrong_type_names_class_and_method(owner, method, value, message, line_config, runner_of, monkeypatch):
    runner = runner_of(line_config(test_dataset=dict(type="NoisyLine", count=1), test_evaluator=[dict(type="HeightError")]))
    monkeypatch.setattr(HeightError if owner == "metric" else type(runner.framework), method, lambda *_, **__: value)
    with pytest.raises(ConfigError, match=message):
        runner.test()


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
