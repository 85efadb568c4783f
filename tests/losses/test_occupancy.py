"""NeuralRecon's losses against the reference's."""

import pytest
import torch

from deep3dmap.losses.occupancy import LogL1Loss, OccupancyLoss, log_l1_loss, log_transform, occupancy_loss
from tests.goldens import cases, read, tensor

GOLDEN = read("neuralrecon/loss")
CASES = cases("neuralrecon/loss", r"loss_(pw.*)")
#: The weight of the fixture's gradients, which are of the voxels of its mask, and of its parts, which are of all.
LARGEST = max(float(case.removeprefix("pw").split("_")[0]) for case in CASES)


def level(mask: bool = False) -> dict:
    """The fixture's voxels; all of them count unless ``mask``."""
    values = {
        ours: tensor(GOLDEN[theirs]).flatten()
        for ours, theirs in dict(
            tsdf="tsdf", occupancy="occ", tsdf_target="tsdf_target", occupancy_target="occ_target", mask="mask").items()
    }
    return values if mask else values | dict(mask=torch.ones_like(values["mask"]))


def total(pos_weight: float, *levels: dict) -> torch.Tensor:
    outputs = dict(levels=levels)
    return OccupancyLoss(pos_weight)(outputs, {}) + LogL1Loss()(outputs, {})


@pytest.mark.parametrize("case", CASES)
def test_the_losses_are_the_reference_s(case):
    pos_weight, mask = case.removeprefix("pw").split("_mask")
    assert float(total(float(pos_weight), level(mask == "1"))) == pytest.approx(float(GOLDEN[f"loss_{case}"]), rel=1e-5)


def test_both_parts_are_the_reference_s():
    voxels = level()
    occupancy = occupancy_loss(voxels["occupancy"], voxels["occupancy_target"], LARGEST)
    distance = log_l1_loss(voxels["tsdf"], voxels["tsdf_target"], voxels["occupancy_target"])
    assert float(occupancy) == pytest.approx(float(GOLDEN["loss_occ_only"]), rel=1e-5)
    assert float(distance) == pytest.approx(float(GOLDEN["loss_tsdf_only"]), rel=1e-5)
    torch.testing.assert_close(log_transform(tensor(GOLDEN["tsdf"])), tensor(GOLDEN["log_transform"]))


def test_the_gradients_are_the_reference_s():
    voxels = level(mask=True)
    predictions = [voxels[key].requires_grad_() for key in ("tsdf", "occupancy")]
    for ours, name in zip(torch.autograd.grad(total(LARGEST, voxels), predictions), ("grad_tsdf", "grad_occ")):
        torch.testing.assert_close(ours, tensor(GOLDEN[name]).flatten(), atol=1e-7, rtol=1e-4)


def test_levels_weigh_as_in_the_reference():
    one, expected = total(1.0, level()), GOLDEN["level_weights"].sum()
    assert float(total(1.0, level(), level(), level())) == pytest.approx(float(one) * expected, rel=1e-5)


def test_without_occupied_voxels_losses_and_gradients_are_zero():
    voxels = level() | dict(occupancy_target=torch.zeros(len(GOLDEN["occ"]), dtype=torch.bool))
    for key in ("occupancy", "tsdf"):
        voxels[key].requires_grad_()
    loss = total(1.0, voxels)
    loss.backward()
    assert float(loss.detach()) == 0 and not voxels["occupancy"].grad.any() and not voxels["tsdf"].grad.any()
