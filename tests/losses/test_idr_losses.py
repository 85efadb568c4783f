import numpy as np
import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.losses import ColorLoss, EikonalLoss, MaskLoss
from deep3dmap.schedules import Progress
from tests.goldens import cases, manifest, text

CASES = cases("idr/loss", "(.+)/loss")


def golden_case(goldens, case):
    golden = goldens("idr/loss")
    outputs = {
        "rgb": torch.from_numpy(golden["rgb_values"]),
        "hit": torch.from_numpy(golden[f"{case}/network_object_mask"]),
        "sdf": torch.from_numpy(golden["sdf_output"])[:, 0],
        "eikonal_gradient": torch.from_numpy(golden["grad_theta"]),
    }
    inputs = {"rgb": (torch.from_numpy(golden["rgb_gt"])[0] + 1) / 2, "mask": torch.from_numpy(golden[f"{case}/object_mask"])}
    return golden, outputs, inputs


def losses_of(golden):
    """The fixture's loss terms, with its weights."""
    config = text(golden)
    return dict(rgb=ColorLoss(), eikonal=EikonalLoss(weight=config["eikonal_weight"]),
                mask=MaskLoss(weight=config["mask_weight"], alpha=config["alpha"]))  # yapf: disable


def test_the_default_weights_are_the_published_ones():
    published = manifest("idr")["loss_config"]
    assert (ColorLoss().weight, EikonalLoss().weight, MaskLoss().weight) == (1.0, published["eikonal_weight"],
                                                                             published["mask_weight"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", ["rgb", "eikonal", "mask"])
def test_terms_are_the_references(goldens, case, name):
    golden, outputs, inputs = golden_case(goldens, case)
    loss = losses_of(golden)[name]
    torch.testing.assert_close(loss(outputs, inputs), torch.from_numpy(golden[f"{case}/{name}_loss"]), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_weighted_terms_make_the_references_total(goldens, case):
    golden, outputs, inputs = golden_case(goldens, case)
    total = sum(loss.weight * loss(outputs, inputs) for loss in losses_of(golden).values())
    torch.testing.assert_close(total, torch.from_numpy(golden[f"{case}/loss"]), atol=1e-5, rtol=1e-5)


def test_alpha_follows_the_references_epochs(goldens):
    golden, published = goldens("idr/schedules"), manifest("idr")
    train = published["train_config"]
    loss = MaskLoss(alpha=dict(start=published["loss_config"]["alpha"], factor=train["alpha_factor"],
                               milestones=train["alpha_milestones"], by="epoch"))  # yapf: disable
    alphas = []
    for epoch in golden["epoch"]:
        loss.set_progress(Progress(epoch=int(epoch)))
        alphas.append(loss.alpha)
    np.testing.assert_array_equal(alphas, golden["alpha"])


def test_alpha_may_share_the_stage_in_equal_parts():
    loss = MaskLoss(alpha=[50, 100])
    loss.set_progress(Progress(fraction=0.75))
    assert loss.alpha == 100


def test_a_sharper_alpha_punishes_a_clear_ray_less():
    outputs = {"sdf": torch.tensor([0.1]), "hit": torch.tensor([False])}
    inputs = {"mask": torch.tensor([False])}
    assert MaskLoss(alpha=400)(outputs, inputs) < MaskLoss(alpha=50)(outputs, inputs)


def test_the_mask_loss_pulls_the_surface_towards_missed_rays_and_away_from_others():
    sdf = torch.tensor([0.1, 0.1, -0.1], requires_grad=True)
    outputs = {"sdf": sdf, "hit": torch.tensor([False, False, True])}
    MaskLoss()(outputs, {"mask": torch.tensor([True, False, False])}).backward()
    assert sdf.grad[0] > 0 and sdf.grad[1] < 0 and sdf.grad[2] < 0


def test_colours_of_missed_rays_carry_no_gradient():
    rgb = torch.zeros(2, 3, requires_grad=True)
    outputs = {"rgb": rgb, "hit": torch.tensor([True, False])}
    ColorLoss()(outputs, {"rgb": torch.ones(2, 3), "mask": torch.tensor([True, True])}).backward()
    assert (rgb.grad[0] == -0.5).all() and not rgb.grad[1].any()


def test_no_eikonal_points_cost_nothing():
    assert EikonalLoss()({"eikonal_gradient": torch.zeros(0, 3)}, {}) == 0


def test_a_vanishing_gradient_does_not_break_the_eikonal_loss():
    gradient = torch.zeros(1, 3, requires_grad=True)
    EikonalLoss()({"eikonal_gradient": gradient}, {}).backward()
    assert gradient.grad.isfinite().all()


def test_a_wrong_alpha_is_named():
    with pytest.raises(ConfigError, match=r"MaskLoss\.alpha"):
        MaskLoss(alpha=dict(start=50, milestones=[100], by="hour"))
