"""Optimisers of a stage, for the whole framework or part by part, and its learning-rate schedules."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from deep3dmap.engine.optim import (
    AutocastOptimWrapper,
    ProgressLR,
    build_optimizers,
    check_optimizers,
    load_optimizers_state,
    optimizers_state,
)
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.schedules import Progress

ADAM, SGD = dict(optimizer=dict(type="Adam", lr=0.1)), dict(optimizer=dict(type="SGD", lr=0.5))


class Pair(nn.Module):
    """Two parts."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 2), nn.Linear(2, 2)


def names(framework: nn.Module, wrapper: OptimWrapper) -> set[str]:
    """Names of an optimiser's parameters."""
    own = {id(p) for group in wrapper.param_groups for p in group["params"]}
    return {name for name, p in framework.named_parameters() if id(p) in own}


def test_one_optimiser_moves_what_is_to_move_and_leaves_the_rest():
    pair = Pair()
    pair.right.requires_grad_(False)
    assert names(pair, build_optimizers(pair, ADAM, False)) == {"left.weight", "left.bias"}


def test_each_part_may_have_its_own_optimiser_and_rest_stands_for_the_others():
    pair = Pair()
    wrappers = build_optimizers(pair, dict(left=ADAM, right=SGD), False)
    assert isinstance(wrappers, OptimWrapperDict)
    assert names(pair, wrappers["right"]) == {"right.weight", "right.bias"}
    assert isinstance(wrappers["left"].optimizer, torch.optim.Adam) and isinstance(wrappers["right"].optimizer,
                                                                                   torch.optim.SGD)
    pair = Pair()
    assert names(pair, build_optimizers(pair, dict(left=ADAM, rest=SGD), False)["rest"]) == {"right.weight", "right.bias"}


def test_learning_rates_by_parameter_are_those_of_the_config():
    pair = Pair()
    wrapper = build_optimizers(pair, ADAM | dict(paramwise_cfg=dict(custom_keys={"left": dict(lr_mult=0.1)})), False)
    rates = {name: group["lr"] for group in wrapper.param_groups for name, p in pair.named_parameters()
             if p is group["params"][0]}  # yapf: disable
    assert rates["left.weight"] == pytest.approx(0.01) and rates["right.weight"] == pytest.approx(0.1)


def test_parts_that_do_not_exist_and_parameters_that_no_optimiser_moves_are_named():
    with pytest.raises(ConfigError, match="'lefft' is not a part of Pair: did you mean 'left'"):
        build_optimizers(Pair(), dict(lefft=ADAM), False)
    pair = Pair()
    with pytest.raises(ConfigError, match="stage 'one': no optimiser for right.weight, right.bias"):
        check_optimizers(pair, dict(left=ADAM), dict(pair.named_parameters()), "one")


def test_mixed_precision_computes_matrix_products_in_bfloat16():
    pair = Pair()
    wrapper = build_optimizers(pair, ADAM, True)
    assert isinstance(wrapper, AutocastOptimWrapper)
    with wrapper.optim_context(pair):
        assert pair.left(torch.ones(1, 2)).dtype == torch.bfloat16
    assert pair.left(torch.ones(1, 2)).dtype == torch.float32


def stepped(wrapper, pair: Pair) -> None:
    for each in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]:
        each.update_params(sum(p.square().sum() for p in pair.parameters()))


@pytest.mark.parametrize("cfg", [ADAM, dict(left=ADAM, right=SGD)])
def test_the_state_of_optimisers_survives(cfg):
    pair = Pair()
    wrapper = build_optimizers(pair, cfg, False)
    stepped(wrapper, pair)
    other = build_optimizers(pair, cfg, False)
    load_optimizers_state(other, optimizers_state(wrapper))
    first = other["left"] if isinstance(other, OptimWrapperDict) else other
    assert first.optimizer.state[pair.left.weight]["step"] == 1
    assert first.optimizer.state[pair.left.weight]["exp_avg"].abs().sum() > 0


def test_the_state_of_other_parameters_is_refused():
    pair = Pair()
    state = optimizers_state(build_optimizers(pair, ADAM, False))
    pair.right.requires_grad_(False)
    with pytest.raises(CheckpointError, match="does not fit the config.*load_from"):
        load_optimizers_state(build_optimizers(pair, ADAM, False), state)


class Holder:
    """Where a schedule reads its progress."""

    def __init__(self):
        self.progress = Progress()


def rates(count: int, budget: int, **schedule) -> list[float]:
    """Learning rates of the first ``count`` steps of a stage of ``budget`` steps, from 1."""
    holder, pair = Holder(), Pair()
    wrapper = build_optimizers(pair, dict(optimizer=dict(type="SGD", lr=1.0)), False)
    schedule, values = ProgressLR(wrapper, progress=holder, **schedule), []
    for step in range(count):
        values.append(wrapper.param_groups[0]["lr"])
        stepped(wrapper, pair)
        holder.progress = Progress(step=step + 1, fraction=(step + 1) / budget)
        schedule.step()
    return values


@pytest.mark.parametrize("budget, schedule, expected", [
    (4, dict(decay=1e-2), [1, 10**-0.5, 0.1, 10**-1.5, 0.01]),
    (100, dict(warmup=4), [0.25, 0.5, 0.75, 1, 1, 1]),
    (4, dict(schedule=[1.0, 0.5]), [1, 1, 0.5, 0.5]),
])
def test_a_rate_warms_up_linearly_decays_exponentially_and_follows_a_list(budget, schedule, expected):
    assert rates(len(expected), budget, **schedule) == pytest.approx(expected)
