"""The step in which losses or gradients stop being numbers is found, and what it was that did."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from deep3dmap.engine.finite import FiniteWatch

FINE = dict(loss=torch.tensor(1.0), loss_rgb=torch.tensor(1.0))


@pytest.fixture
def model() -> nn.ModuleDict:
    """A dense and a sparse part."""
    return nn.ModuleDict(dict(line=nn.Linear(2, 1), rows=nn.Embedding(5, 2, sparse=True)))


@pytest.fixture
def watched(model):
    """A watch over both parts' optimisers, and a function that takes a step along given gradients."""
    wrapper = OptimWrapperDict(line=OptimWrapper(torch.optim.Adam(model["line"].parameters())),
                               rows=OptimWrapper(torch.optim.SparseAdam(model["rows"].parameters())))
    watch = FiniteWatch()
    for each in wrapper.values():
        watch.watch(model, each)

    def step(line: float = 0.0, row: float = 0.0) -> None:
        model["line"].weight.grad = torch.full((1, 2), line)
        model["rows"].weight.grad = torch.sparse_coo_tensor([[3]], [[row, 0.0]], (5, 2), check_invariants=True)
        for each in wrapper.values():
            each.step()

    return watch, step


def test_a_step_with_finite_losses_and_gradients_is_no_problem(watched):
    watch, step = watched
    step(1e18, -1e18)
    assert watch.problem(FINE) == ""


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place, name", [("line", "line.weight"), ("row", "rows.weight")])
def test_the_parameter_whose_gradient_is_no_number_is_named(place, name, value, watched):
    watch, step = watched
    step(**{place: value})
    assert watch.problem(FINE) == f"the losses are finite, but the gradient of {name} is not"


def test_a_gradient_whose_square_is_too_large_is_named_since_adam_would_never_move_again(watched, model):
    watch, step = watched
    step(line=1e30)
    assert "line.weight" in watch.problem(FINE)
    before = model["line"].weight.detach().clone()
    step(line=1.0)
    assert torch.equal(before, model["line"].weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_terms_are_named_rather_than_the_gradients_that_follow_from_them(value, watched):
    watch, step = watched
    step(line=value)
    log = FINE | dict(loss=torch.tensor(value), loss_mask=torch.tensor([1.0, value]), psnr=torch.tensor(3.0))
    assert watch.problem(log) == "loss_mask is not finite"


def test_a_sum_that_overflows_is_named_itself(watched):
    watch, _ = watched
    assert watch.problem(dict(loss=torch.tensor(float("inf")), loss_rgb=torch.tensor(3e38))) == (
        "loss is not finite")  # yapf: disable


def test_a_step_is_judged_once(watched):
    watch, step = watched
    step(line=float("nan"))
    assert watch.problem(FINE)
    step(line=0.0)
    assert watch.problem(FINE) == ""
