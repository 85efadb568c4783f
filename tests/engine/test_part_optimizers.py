"""Optimisers, schedules and averages of parts over the stages of a run."""

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from deep3dmap.datasets.kinds import BatchDataset
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.registry import DATASETS, FRAMEWORKS, HOOKS
from tests.engine.test_resume import assert_same, state

ADAM = dict(type="Adam", lr=0.1)


@DATASETS.register_module()
class Targets(BatchDataset):
    """A number to reach, other in every step."""

    def __len__(self) -> int:
        return 4

    def batch(self, step, generator, rank=0, world=1):
        return dict(y=torch.rand(3, generator=generator))


@FRAMEWORKS.register_module()
class TwoParts(BaseFramework):
    """Two parts whose sum is to reach a target."""

    stages = ("a", "both", "b", "again")

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(1, 3), torch.nn.Linear(1, 3)

    def forward(self, inputs, mode="tensor"):
        one = torch.ones(1)
        return dict(loss=((self.a(one) + self.b(one) - inputs["y"])**2).mean())


@HOOKS.register_module()
class Rates(Hook):
    """Notes the learning rates with which each step was made."""

    seen: list = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        rates = {name: each.param_groups[0]["lr"] for name, each in dict(runner.optim_wrapper.items()).items()}
        self.seen.append((runner.train_loop.stage.name, rates))


def config(*stages, **changes) -> dict:
    """A, then both, then B, as adversarial methods train; each with an optimiser, an average and a schedule of its own."""
    stages = stages or (dict(name="a", max_steps=4, params=["a.*"]), dict(name="both", max_steps=4),
                        dict(name="b", max_steps=4, params=["b.*"]))  # yapf: disable
    wrapper = dict(a=dict(optimizer=ADAM, average=0.8, schedule=dict(factor=0.5, every=3)),
                   b=dict(optimizer=dict(type="RMSprop", lr=0.05), average=0.5))  # yapf: disable
    return dict(model=dict(type="TwoParts"),
                train_dataset=dict(type="Targets"),
                train_cfg=dict(stages=list(stages)),
                optim_wrapper=wrapper,
                custom_hooks=[dict(type="Rates")],
                default_hooks=dict(checkpoint=dict(minutes=None, steps=1, keep=0))) | changes


@pytest.fixture
def trained(runner_of, tmp_path):
    """Trains a config; gives the runner and the learning rates of all steps."""

    def train(cfg: dict, folder=None, **arguments):
        Rates.seen.clear()
        runner = runner_of(cfg, folder or tmp_path / "whole", **arguments)
        runner.train()
        return runner, list(Rates.seen)

    return train


def steps_of(runner, part: str) -> int:
    """Steps that a part's Adam or RMSprop has made."""
    optimizer = runner.train_loop.optimizers._alive[-1][part].wrapper.optimizer
    return int(next(iter(optimizer.state.values()))["step"])


def test_optimiser_schedule_and_average_of_a_part_live_on_through_the_stages(trained):
    runner, seen = trained(config())
    assert (steps_of(runner, "a"), steps_of(runner, "b")) == (8, 8)
    rates = [rates["a"] for _, rates in seen if "a" in rates]  # the schedule counts the part's own steps
    assert rates == pytest.approx([0.1] * 3 + [0.05] * 3 + [0.025] * 2)
    assert [set(rates) for _, rates in seen] == [{"a"}] * 4 + [{"a", "b"}] * 4 + [{"b"}] * 4
    last, at_rest = (load_checkpoint(list_checkpoints(Path(runner.work_dir))[k]) for k in (-1, 7))
    assert torch.equal(last["state_dict"]["a.weight"], at_rest["state_dict"]["a.weight"])
    assert not torch.equal(last["state_dict"]["a.weight"], last["loop"]["weights"]["a.weight"])


@pytest.mark.parametrize("step", [2, 4, 6, 8, 11])
def test_a_run_resumed_in_any_stage_ends_the_same(trained, runner_of, tmp_path, step):
    runner, _ = trained(config())
    runner_of(config(), tmp_path / "again", resume=str(list_checkpoints(Path(runner.work_dir))[step - 1])).train()
    assert_same(state(tmp_path / "again"), state(tmp_path / "whole"))


def test_a_part_may_begin_afresh_in_every_stage(trained):
    cfg = config()
    cfg["optim_wrapper"]["a"]["fresh_each_stage"] = True
    runner, seen = trained(cfg)
    assert [rates["a"] for _, rates in seen if "a" in rates] == pytest.approx(2 * ([0.1] * 3 + [0.05]))


def test_a_stages_own_optimiser_is_that_stages_alone(trained, runner_of, tmp_path):
    own = dict(a=dict(optimizer=dict(type="SGD", lr=1e-3)))
    stages = [dict(name="a", max_steps=3, params=["a.*"]), dict(name="both", max_steps=3, params=["a.*"], optim_wrapper=own),
              dict(name="again", max_steps=3)]  # yapf: disable
    runner, seen = trained(config(*stages))
    assert steps_of(runner, "a") == 6
    assert [rates["a"] for _, rates in seen][3:6] == [1e-3] * 3
    runner_of(config(*stages), tmp_path / "again", resume=str(list_checkpoints(Path(runner.work_dir))[4])).train()
    assert_same(state(tmp_path / "again"), state(tmp_path / "whole"))


def test_a_stages_own_schedule_leaves_the_parts_where_it_was(trained):
    own = dict(type="ProgressLR", schedule=0.1)
    stages = [dict(name="a", max_steps=3, params=["a.*"]), dict(name="both", max_steps=2, params=["a.*"], param_scheduler=own),
              dict(name="again", max_steps=2)]  # yapf: disable
    _, seen = trained(config(*stages))
    assert [rates["a"] for _, rates in seen] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.05, 0.05])


def test_an_optimiser_that_trains_nothing_in_any_stage_is_refused(runner_of):
    with pytest.raises(ConfigError, match="optimiser of a"):
        runner_of(config(dict(name="b", max_steps=2, params=["b.*"]))).train()


def test_a_checkpoint_with_other_parts_is_refused_by_name(trained, runner_of, tmp_path):
    runner, _ = trained(config())
    other = config(optim_wrapper=dict(optimizer=ADAM))
    with pytest.raises(ConfigError, match="optim_wrapper"):
        runner_of(other, tmp_path / "again", resume=str(list_checkpoints(Path(runner.work_dir))[5])).train()
