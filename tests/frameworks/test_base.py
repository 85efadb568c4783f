"""Inputs, stages and steps of the two base classes."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.base import BaseFramework, CustomFramework, Framework, Stage, update_params
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.schedules import Progress


class Distance(Loss):
    """Of the output to ``y``."""

    def forward(self, outputs: dict, inputs: dict):
        return (outputs["y"] - inputs["y"]).abs().mean()


class Size(Loss):
    """Of the output."""

    def forward(self, outputs: dict, inputs: dict):
        return outputs["y"].abs().mean()


class Scale(BaseFramework):
    """Multiplies ``x``."""

    stages = ("train", "tune")

    def __init__(self, **kwargs):
        super().__init__(losses=dict(distance=dict(type=Distance, weight=[2.0, 4.0]), size=dict(type=Size, weight=0.5)),
                         **kwargs)
        self.factor = nn.Parameter(torch.tensor(3.0))
        self.shift = nn.Parameter(torch.tensor(0.0))

    def forward(self, inputs, mode="tensor"):
        outputs = dict(y=self.factor * inputs["x"] + self.shift)
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs


class Pair(CustomFramework):
    """Two parts."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        return {}

    def train_step(self, data, optim_wrapper):
        return {}


BATCH = dict(x=torch.ones(4), y=torch.zeros(4))


def sgd(*parameters) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(parameters, lr=0.1))


def test_a_list_of_input_keys_lets_only_those_through():
    assert set(Scale(input_keys=["x"]).prepare_inputs(BATCH, True)) == {"x"}


def test_a_dictionary_of_input_keys_renames():
    inputs = Scale(input_keys=dict(x="position", y="y")).prepare_inputs(dict(position=torch.ones(2), y=torch.zeros(2)), True)
    assert torch.equal(inputs["x"], torch.ones(2)) and set(inputs) == {"x", "y"}


def test_without_input_keys_everything_comes_through():
    assert set(Scale().prepare_inputs(BATCH, True)) == {"x", "y"}


def test_a_missing_key_names_the_key_the_framework_the_dataset_and_the_nearest_key():
    with pytest.raises(DataError, match=r"Scale needs 'hight' \(as 'y'.*Heights has \['height', 'x'\]; did you mean 'height'"):
        Scale(input_keys=dict(x="x", y="hight")).check_inputs(dict(x=0, height=0), "Heights")


def test_a_stage_moves_the_parameters_that_its_patterns_match_and_no_others():
    framework = Scale()
    framework.enter_stage(Stage("train", ("fac*", )))
    assert framework.factor.requires_grad and not framework.shift.requires_grad
    framework.enter_stage(Stage("tune"))
    assert framework.factor.requires_grad and framework.shift.requires_grad


def test_only_the_losses_of_the_stage_count():
    framework = Scale()
    assert set(framework(BATCH, mode="loss")) == {"loss_distance", "loss_size"}
    framework.enter_stage(Stage("train", losses=("size", )))
    assert set(framework(BATCH, mode="loss")) == {"loss_size"}


@pytest.mark.parametrize("call, message", [
    (lambda: Scale().enter_stage(Stage("tuen")), "Scale has no stage 'tuen': did you mean 'tune'"),
    (lambda: Scale().enter_stage(Stage("train", ("geometry.*", ))),
     r"no parameter of Scale matches 'geometry\.\*'; they are factor, shift"),
    (lambda: Scale().enter_stage(Stage("train", losses=("distanse", ))), "loss 'distanse': did you mean 'distance'"),
    (lambda: Scale().parse_losses(dict(psnr=torch.tensor(1.0))), "Scale .*no loss in stage 'train'"),
    (lambda: Scale().extract_mesh(), "Scale does not produce a mesh"),
    (lambda: BaseFramework.__init__(Scale.__new__(Scale), losses=dict(rgb=dict(type="ColourLoss"))), f"'{LOSSES.name}'"),
])  # yapf: disable
def test_stages_patterns_losses_and_meshes_that_a_framework_does_not_have_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_progress_reaches_the_weights_of_the_losses():
    framework = Scale()
    values = []
    for fraction in (0.0, 0.5):
        framework.set_progress(Progress(fraction=fraction))
        values.append(framework(BATCH, mode="loss")["loss_distance"].item())
    assert values == [2.0 * 3, 4.0 * 3]


def test_a_step_goes_down_the_gradient_of_the_sum_of_the_weighted_losses():
    framework = Scale()
    log = framework.train_step(BATCH, sgd(*framework.parameters()))
    assert framework.factor.item() == pytest.approx(3.0 - 0.1 * (2.0 + 0.5))
    assert log["loss"].item() == pytest.approx(3 * 2.0 + 3 * 0.5)
    assert log["loss_size"].item() == pytest.approx(1.5) and not any(v.requires_grad for v in log.values())


def test_several_optimisers_step_on_the_same_loss():
    framework = Scale()
    wrappers = OptimWrapperDict(a=sgd(framework.factor), b=sgd(framework.shift))
    framework.train_step(BATCH, wrappers)
    assert framework.factor.item() == pytest.approx(2.75) and framework.shift.item() == pytest.approx(-0.25)
    framework.train_step(BATCH, wrappers)
    assert framework.factor.item() == pytest.approx(2.5)  # gradients of the first step are gone


def test_update_params_of_one_optimiser_forgets_its_gradients():
    weight = nn.Parameter(torch.tensor(1.0))
    wrapper = sgd(weight)
    for _ in range(2):
        update_params(2 * weight, wrapper)
    assert weight.item() == pytest.approx(0.6)


def test_only_terms_that_are_named_loss_are_summed():
    total, log = Scale().parse_losses(dict(loss_a=torch.tensor([1.0, 3.0]), loss_b=torch.tensor(1.0), psnr=torch.tensor(20.0)))
    assert total.item() == 3.0 and set(log) == {"loss", "loss_a", "loss_b", "psnr"}


def test_a_test_step_predicts():
    assert torch.equal(Scale().test_step(BATCH)["y"], torch.full((4, ), 3.0))


def test_the_bases_can_not_be_used_themselves():
    with pytest.raises(TypeError, match="abstract"):
        Framework()
    with pytest.raises(TypeError, match="abstract"):
        CustomFramework()
