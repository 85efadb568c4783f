from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from deep3dmap.engine.averaging import PartAverage, WeightAverages
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.errors import ConfigError
from deep3dmap.registry import HOOKS
from tests.engine.test_resume import assert_same, state

ONE_STAGE = dict(train_cfg__stages=[dict(name="train", max_steps=12)], train_cfg__average=0.8)


@HOOKS.register_module()
class Trace(Hook):
    """Notes the weights after every step."""

    seen: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.seen.append({name: p.detach().clone() for name, p in runner.framework.named_parameters()})


def trained(runner_of, config, **arguments):
    Trace.seen.clear()
    runner = runner_of(config, **arguments)
    return runner, runner.train()


def averaged_by_hand(decay, seen=None):
    average = None
    for k, weights in enumerate(Trace.seen if seen is None else seen):
        share = max(1 - decay, 1 / (k + 1))
        average = weights if average is None else {n: (1 - share) * average[n] + share * w for n, w in weights.items()}
    return average


def test_framework_and_checkpoint_hold_the_average_of_the_weights_and_the_trained_ones_beside(line_config, runner_of):
    runner, framework = trained(runner_of, line_config(**ONE_STAGE, custom_hooks=[dict(type="Trace")]))
    checkpoint = load_checkpoint(list_checkpoints(Path(runner.work_dir))[-1])
    for name, value in averaged_by_hand(0.8).items():
        torch.testing.assert_close(checkpoint["state_dict"][name], value)
        assert torch.equal(checkpoint["loop"]["weights"][name], Trace.seen[-1][name])
    assert not torch.equal(checkpoint["state_dict"]["backbone.slope"], Trace.seen[-1]["backbone.slope"])
    assert_same(dict(framework.state_dict()), checkpoint["state_dict"])


def test_averaging_does_not_change_what_is_trained(line_config, runner_of, tmp_path):
    trained(runner_of, line_config(custom_hooks=[dict(type="Trace")]), work_dir=tmp_path / "plain")
    plain = list(Trace.seen)
    trained(runner_of, line_config(custom_hooks=[dict(type="Trace")], train_cfg__average=0.9), work_dir=tmp_path / "averaged")
    assert_same(plain, Trace.seen)


RESTING = dict(train_cfg__stages=[dict(name="intercept", max_steps=6, params=["*.intercept"]),
                                  dict(name="train", max_steps=5, params=["*.slope"])],
               train_cfg__average=0.8)  # yapf: disable


@pytest.mark.parametrize("step, changes", [(3, dict(train_cfg__average=0.9)), (8, dict(train_cfg__average=0.9)), (3, RESTING),
                                           (13, dict(train_cfg__average=0.9)), (9, RESTING)])  # yapf: disable
def test_a_resumed_run_ends_with_the_same_average_also_while_an_averaged_part_rests(line_config, runner_of, tmp_path, step,
                                                                                    changes):  # yapf: disable
    config = line_config(**changes)
    runner_of(config, tmp_path / "whole").train()
    runner_of(config | dict(custom_hooks=[dict(type="SignalAt", step=step)]), tmp_path / "parts").train()
    runner_of(config, tmp_path / "parts", resume=True).train()
    assert_same(state(tmp_path / "whole"), state(tmp_path / "parts"))


def test_a_part_that_rests_in_the_next_stage_keeps_the_average_of_its_own(line_config, runner_of):
    _, framework = trained(runner_of, line_config(**RESTING, custom_hooks=[dict(type="Trace")]))
    first, second = Trace.seen[:6], Trace.seen[6:]
    for seen, name in ((first, "backbone.intercept"), (second, "backbone.slope")):
        expected = averaged_by_hand(0.8, seen)[name]
        torch.testing.assert_close(framework.get_parameter(name).detach(), expected)
        assert not torch.equal(expected, seen[-1][name])


def average_of(layer: nn.Module, decay: float = 0.5) -> WeightAverages:
    """The averages of a module whose parameters move as they require gradients."""
    averages = WeightAverages()
    averages.enter([PartAverage(layer, "", decay, {id(p) for p in layer.parameters() if p.requires_grad})])
    return averages


def test_a_part_that_goes_on_in_the_next_stage_keeps_its_average(line_config, runner_of):
    stages = [dict(name="intercept", max_steps=6, params=["*.intercept"]), dict(name="train", max_steps=5)]
    config = line_config(train_cfg__stages=stages, train_cfg__average=0.8, custom_hooks=[dict(type="Trace")])
    _, framework = trained(runner_of, config)
    expected = averaged_by_hand(0.8)["backbone.intercept"]  # over both stages
    torch.testing.assert_close(framework.backbone.intercept.detach(), expected)


@pytest.mark.parametrize("again", [dict(fresh_each_stage=True), {}], ids=["fresh", "of the stage"])
def test_with_a_new_optimiser_a_new_average_begins(line_config, runner_of, again):
    adam = dict(optimizer=dict(type="Adam", lr=0.05))
    second = {} if again else dict(optim_wrapper=adam)
    stages = [dict(name="intercept", max_steps=6, params=["*.intercept"]), dict(name="train", max_steps=5, **second)]
    config = line_config(train_cfg__stages=stages, optim_wrapper=adam | again | dict(average=0.8), train_cfg__average=0.8,
                         custom_hooks=[dict(type="Trace")])  # yapf: disable
    _, framework = trained(runner_of, config)
    expected = averaged_by_hand(0.8, Trace.seen[6:])["backbone.intercept"]
    torch.testing.assert_close(framework.backbone.intercept.detach(), expected)


def test_buffers_are_averaged_too():
    norm = nn.BatchNorm1d(1)
    averages = average_of(norm)
    for value in (2.0, 4.0):
        norm.running_mean.fill_(value)
        norm.num_batches_tracked += 1
        averages.update()
    state = averages.state_dict(norm)
    assert state["running_mean"].item() == pytest.approx(3.0) and state["num_batches_tracked"] == 2


def test_weights_that_rest_are_not_averaged():
    layer = nn.Linear(2, 1)
    layer.bias.requires_grad_(False)
    averages = average_of(layer)
    assert set(averages.values) == {"weight"}
    assert set(averages.state_dict(layer)) == {"weight", "bias"}


def test_within_the_context_a_module_has_the_average_and_then_its_own_weights_again():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    averages = average_of(layer)
    for value in (1.0, 2.0, 4.0):
        layer.weight.data.fill_(value)
        averages.update()
    with averages.applied(layer):
        assert layer.weight.item() == pytest.approx(((1 + 2) / 2 + 4) / 2)
    assert layer.weight.item() == 4


def test_without_an_average_nothing_is_kept(line_config, runner_of):
    runner, framework = trained(runner_of, line_config())
    assert not runner.train_loop.averages.values
    assert_same(runner.train_loop.averages.state_dict(framework), dict(framework.state_dict()))


@pytest.mark.parametrize("decay", [-0.1, 1.5])
def test_a_decay_out_of_range_is_refused(line_config, runner_of, decay):
    with pytest.raises(ConfigError, match="average"):
        runner_of(line_config(train_cfg__average=decay))
