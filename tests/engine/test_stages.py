"""Stages and their budgets."""

import math

import pytest

from deep3dmap.engine.stages import Budget, StageConfig
from deep3dmap.errors import ConfigError


def test_a_stage_ends_at_its_steps_or_its_epochs_whichever_is_first():
    assert StageConfig(max_steps=10, max_epochs=2).steps(epoch_length=3) == 6
    assert StageConfig(max_steps=5, max_epochs=2).steps(epoch_length=3) == 5
    assert StageConfig(max_minutes=1).steps(epoch_length=3) is None


def test_a_budget_of_steps_is_spent_when_they_are_done():
    budget = Budget(max_steps=4)
    states = []
    for budget.step in range(6):
        states.append((budget.fraction, budget.spent))
    assert states == [(0, False), (0.25, False), (0.5, False), (0.75, False), (1, True), (1, True)]


def test_a_budget_of_seconds_is_spent_when_they_have_passed_and_the_further_share_counts():
    assert (Budget(max_seconds=10, seconds=5).fraction, Budget(max_seconds=10, seconds=5).spent) == (0.5, False)
    assert (Budget(max_seconds=10, seconds=12).fraction, Budget(max_seconds=10, seconds=12).spent) == (1.0, True)
    assert Budget(max_steps=10, max_seconds=10, step=2, seconds=8).fraction == 0.8
    assert Budget(max_steps=0).spent and Budget(max_seconds=0.0).spent


def test_the_seconds_left_are_estimated_from_the_pace():
    assert Budget(max_steps=10, step=4, seconds=8).seconds_left == 12
    assert Budget(max_steps=10, max_seconds=11, step=4, seconds=8).seconds_left == 3
    assert Budget(max_steps=10).seconds_left == math.inf


def test_progress_counts_steps_epochs_and_the_spent_fraction():
    progress = Budget(max_steps=10, step=7).progress(epoch_length=3)
    assert (progress.step, progress.epoch, progress.fraction) == (7, 2, 0.7)


def test_stages_follow_one_another_with_their_own_parameters(line_config, runner_of):
    seen = []
    runner = runner_of(line_config())
    step = runner.model.train_step

    def watch(data, optim_wrapper):
        log = step(data, optim_wrapper)
        seen.append((runner.framework.stage.name, runner.framework.backbone.slope.item() != 0, sorted(log)))
        return log

    runner.model.train_step = watch
    runner.train()
    assert seen[:6] == [("intercept", False, ["loss", "loss_fit"])] * 6
    assert seen[6:] == [("train", True, ["loss", "loss_fit", "loss_flat"])] * 10


def test_a_run_of_minutes_gives_the_last_stage_what_the_others_leave(line_config, runner_of):
    config = line_config(train_cfg=dict(max_minutes=0.02, stages=[dict(name="intercept", max_share=0.25), dict(name="train")]))
    runner = runner_of(config)
    runner.train()
    assert runner.train_loop.budget.max_seconds == pytest.approx(0.9, abs=0.15)
    assert runner.train_loop.seconds == pytest.approx(1.2, abs=0.3)


@pytest.mark.parametrize("minutes, share", [(0.02, 1.0), (None, 0.25)])
def test_an_earlier_stage_ends_by_a_share_only_where_the_run_has_minutes(line_config, runner_of, minutes, share):
    stages = [dict(name="intercept", max_share=share), dict(name="train", max_steps=2)]
    with pytest.raises(ConfigError, match="stage 'intercept' has no budget"):
        runner_of(line_config(train_cfg=dict(max_minutes=minutes, stages=stages))).train()


@pytest.mark.parametrize("call, message", [
    (lambda line_config, runner_of: runner_of(line_config(train_cfg=dict(stages=[dict(name="train")]))).train(),
     "stage 'train' has no budget; .*max_steps, max_epochs or max_minutes, or the run"),
    (lambda line_config, runner_of:
     runner_of(line_config(train_cfg=dict(max_steps=3, stages=[dict(name="train", max_steps=2)]))).train(),
     "max_steps and max_epochs"),
])  # yapf: disable
def test_a_stage_without_an_end_and_steps_of_the_run_beside_stages_are_refused(call, message, line_config, runner_of):
    with pytest.raises(ConfigError, match=message):
        call(line_config, runner_of)


def test_without_stages_there_is_one(line_config, runner_of):
    runner = runner_of(dict(line_config(), train_cfg=dict(max_steps=3)))
    runner.train()
    assert runner.iter == 3 and runner.framework.stage.name == "train"


SECOND = {
    "its name": (dict(name="trian"), "no stage 'trian': did you mean 'train'"),
    "its parameters": (dict(name="train", params=["slope"]), "no parameter of LineFit matches 'slope'.*backbone.slope"),
    "its losses": (dict(name="train", losses=["flt"]), "loss 'flt': did you mean 'flat'"),
    "a part with an optimiser": (dict(name="train", optim_wrapper=dict(backbon=dict(optimizer=dict(type="SGD", lr=1.0)))),
                                 "'backbon' is not a part of LineFit: did you mean 'backbone'"),
    "an optimiser for nothing": (dict(name="train", optim_wrapper=dict(losses=dict(optimizer=dict(type="SGD", lr=1.0)),
                                                                      rest=dict(optimizer=dict(type="SGD", lr=1.0)))),
                                 "stage 'train': the optimiser of losses has no trainable parameter"),
    "its data": (dict(name="train", train_dataloader=dict(dataset=dict(type="Misnamed"), batch_size=4)),
                 r"LineFit needs 'height' \(as 'y'.*the data of stage 'train' \(Misnamed\) has \['hight', 'position'\]"),
    "no data": (dict(name="train", train_dataloader=dict(dataset=dict(type="NoisyLine", count=0))), "NoisyLine is empty"),
    "no batch": (dict(name="train", train_dataloader=dict(dataset=dict(type="NoisyLine"), batch_size=99, drop_last=True)),
                 "NoisyLine has no batch"),
}  # yapf: disable


@pytest.fixture(scope="module")
def misnamed():
    """A dataset without the key that the framework wants."""
    import line_fit

    from deep3dmap.registry import DATASETS

    @DATASETS.register_module(force=True)
    class Misnamed(line_fit.NoisyLine):
        """Says ``hight``."""

        def __init__(self):
            super().__init__()

        def __getitem__(self, index):
            item = super().__getitem__(index)
            return dict(position=item["position"], hight=item["height"])


@pytest.mark.parametrize("second, message", SECOND.values(), ids=SECOND)
def test_what_is_wrong_with_the_second_stage_is_found_before_the_first_step(second, message, line_config, runner_of, misnamed):
    stages = [dict(name="intercept", max_steps=3, params=["*.intercept"]), dict(second, max_steps=3)]
    runner = runner_of(line_config(train_cfg=dict(_delete_=True, stages=stages)))
    with pytest.raises(Exception, match=message) as caught:
        runner.train()
    assert type(caught.value).__name__ in ("ConfigError", "DataError") and runner.iter == 0
