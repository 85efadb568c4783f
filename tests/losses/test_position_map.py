"""The loss on position maps against the PyTorch port's, and by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.errors import ConfigError
from deep3dmap.losses import PositionMapLoss
from deep3dmap.losses.position_map import face_weights, port_weights
from deep3dmap.structures.uv_layout import UVLayout
from tests.goldens import assert_near, read, tensor

GOLDEN = read("prnet/weight_mask")


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """Folder of a layout with the fixture's masks."""
    folder = tmp_path_factory.mktemp("uv-data")
    indices = np.flatnonzero(GOLDEN["face_mask_official"])
    np.savetxt(folder / "face_ind.txt", indices, "%d")
    np.savetxt(folder / "uv_kpt_ind.txt", np.zeros((2, 68)), "%d")
    np.save(folder / "canonical_vertices.npy", np.zeros((len(indices), 3)))
    Image.fromarray(GOLDEN["mask_official"]).save(folder / "uv_weight_mask.png")
    return folder


def maps(name: str) -> torch.Tensor:
    """Maps of the fixture, where each number fills a block of pixels."""
    blocks = tensor(GOLDEN[name])
    block = len(GOLDEN["mask_official"]) // blocks.shape[-1]
    return blocks.repeat_interleave(block, 2).repeat_interleave(block, 3)


def loss_of(loss: PositionMapLoss, prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    return loss(dict(position_map=prediction), dict(position_map=truth))


@pytest.fixture
def port(layout) -> PositionMapLoss:
    return PositionMapLoss(str(layout), len(GOLDEN["mask_official"]), "port")


def test_the_weights_of_the_port_are_the_official_ones_on_the_face(layout):
    weights = face_weights(UVLayout.load(str(layout)))
    np.testing.assert_array_equal(np.round(weights * 255), GOLDEN["mask_port_raw"])
    np.testing.assert_array_equal(port_weights(weights), GOLDEN["mask_port_processed"])


def test_the_loss_and_its_gradient_are_the_ports(port):
    prediction, truth = maps("pred16").requires_grad_(), maps("gt16")
    loss = loss_of(port, prediction, truth)
    loss.backward()
    step = prediction.shape[-1] // GOLDEN["grad_sub"].shape[-1]
    torch.testing.assert_close(loss.detach(), tensor(GOLDEN["loss"]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.grad.abs().sum(), tensor(GOLDEN["grad_sum_abs"]), atol=1e-5, rtol=1e-5)
    assert_near(prediction.grad[:, :, ::step, ::step], tensor(GOLDEN["grad_sub"]), 1e-5)


def test_the_ports_loss_adds_up_over_the_batch(port):
    first = loss_of(port, maps("pred16")[:1], maps("gt16")[:1])
    torch.testing.assert_close(first, tensor(GOLDEN["loss_b1"]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind, expected", [("distance", 0.5), ("squared", 0.25)])
def test_a_constant_shift_costs_its_length_or_the_square_of_it_for_any_batch(layout, kind, expected):
    loss, truth = PositionMapLoss(str(layout), kind=kind), maps("gt16")
    shift = torch.tensor([0.3, 0.0, -0.4])[:, None, None]
    torch.testing.assert_close(loss_of(loss, truth + shift, truth), torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["distance", "squared", "port"])
def test_pixels_outside_the_face_cost_nothing(layout, kind):
    truth, outside = maps("gt16"), tensor(GOLDEN["face_mask_official"]) == 0
    assert outside.any()
    assert loss_of(PositionMapLoss(str(layout), kind=kind), truth + outside, truth) == 0


@pytest.mark.parametrize("predicted, truth, size", [(128, 256, 128), (256, 256, 128), (128, 128, 256)])
def test_maps_of_different_sizes_are_one_error_that_names_them(predicted, truth, size):
    maps = [torch.zeros(1, 3, each, each) for each in (predicted, truth)]
    with pytest.raises(ConfigError, match=f"{predicted} pixels.*{truth} .*map_size.*{size} "):
        loss_of(PositionMapLoss("ict", size), *maps)


def test_equal_maps_have_finite_gradients(layout):
    prediction = maps("gt16").requires_grad_()
    loss_of(PositionMapLoss(str(layout)), prediction, maps("gt16")).backward()
    assert not prediction.grad.any()


def test_the_open_layout_gives_its_landmarks_the_largest_weight():
    layout, loss = UVLayout.load("ict", 128), PositionMapLoss("ict", 128)
    column, row = layout.landmarks.T
    assert (loss.pixel_weights[row, column] == loss.pixel_weights.max()).all()
    assert loss.pixel_weights.sum() == pytest.approx(1, rel=1e-5)
