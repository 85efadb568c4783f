"""GAN2Shape's losses against values of the reference."""

import pytest
import torch

from deep3dmap.losses import FeatureLoss, MaskedL1Loss, ReliefLoss, SmoothnessLoss
from tests.goldens import cases, read, tensor

GOLDEN = read("gan2shape/losses")


def close(actual, key):
    torch.testing.assert_close(actual, tensor(GOLDEN[key])[0], rtol=1e-4, atol=0)


def assert_gradient(loss, leaf, key):
    gradient, = torch.autograd.grad(loss, leaf)
    expected = tensor(GOLDEN[key])
    torch.testing.assert_close(gradient, expected, rtol=0, atol=5e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("case", cases("gan2shape/losses", r"photometric/(\w+)_grad"))
def test_photometric_loss(case):
    outputs = dict(image=tensor(GOLDEN["im1"]).requires_grad_())
    outputs |= dict(mask=tensor(GOLDEN["mask"])) if case in ("mask", "both") else {}
    outputs |= dict(deviation=tensor(GOLDEN["conf"])) if case in ("conf", "both") else {}
    loss = MaskedL1Loss()(outputs, dict(image=tensor(GOLDEN["im2"])))
    close(loss, f"photometric/{case}")
    assert_gradient(loss, outputs["image"], f"photometric/{case}_grad")


def test_smoothness():
    depth = tensor(GOLDEN["smooth/depth"]).requires_grad_()
    loss = SmoothnessLoss(["depth"])(dict(depth=depth), {})
    close(loss, "smooth/value")
    assert_gradient(loss, depth, "smooth/grad")
    close(SmoothnessLoss(["image"])(dict(image=tensor(GOLDEN["im1"])), {}), "smooth/value_4d")
    close(SmoothnessLoss(["depth"])(dict(depth=[depth, depth[:, ::2, ::2]]), {}), "smooth/value_list")
    both = SmoothnessLoss(["depth", "image"])(dict(depth=depth.detach(), image=tensor(GOLDEN["im1"])), {})
    assert float(both) == pytest.approx(float(GOLDEN["smooth/value"][0]) + float(GOLDEN["smooth/value_4d"][0]))


@pytest.mark.parametrize("case", cases("gan2shape/losses", r"dloss/ftr(\d+_\w+)"))
def test_features_of_a_discriminator(case):
    count, masked = int(case.split("_")[0]), case.endswith("_mask")
    fake, real = ([tensor(GOLDEN[f"dloss/{kind}{k}"]) for k in range(count)] for kind in ("fake", "real"))
    outputs = dict(features=fake) | (dict(mask=tensor(GOLDEN["mask"])) if masked else {})
    close(FeatureLoss()(outputs, dict(features=real)), f"dloss/ftr{case}")


def test_relief_within_a_mask():
    depth = torch.full((1, 12, 12), 3.0)
    depth[:, 5:7, 4:6], depth[:, 5:7, 6:8], depth[:, 5:7, 8], depth[:, 0] = 0.9, 1.1, 7.0, 50.0
    mask = torch.zeros(1, 1, 12, 12)
    mask[..., 3:9, 2:10] = 1  # two pixels at its outline don't count
    outputs = dict(depth=depth, mask=mask)
    assert float(ReliefLoss(0.1)(outputs, {})) == pytest.approx(0, abs=1e-5)
    assert float(ReliefLoss(0.1, margin=0)(outputs, {})) > 100
    depth.requires_grad_()
    loss = ReliefLoss(0.05)(outputs, {})
    gradient, = torch.autograd.grad(loss, depth)
    assert loss.item() == pytest.approx(9, rel=1e-4) and gradient.count_nonzero() == 8
    assert bool((gradient[0, 5:7, 4:6] < 0).all() and (gradient[0, 5:7, 6:8] > 0).all())
