"""Errors of depth images against values of the reference."""

import pytest
import torch

from deep3dmap.evaluation.depth_images import (
    DepthImageMetrics,
    cosine_angles,
    mean_over,
    scale_invariant_errors,
)
from deep3dmap.structures import Reconstruction
from tests.goldens import read, tensor

GOLDEN = {key: tensor(value) for key, value in read("gan2shape/losses").items() if key.startswith(("side", "mad"))}


def close(actual, key, **tolerance):
    torch.testing.assert_close(actual, GOLDEN[key], **tolerance or dict(rtol=1e-4, atol=1e-7))


def test_scale_invariant_depth_errors():
    depths, mask = (GOLDEN["side/pred"], GOLDEN["side/gt"]), GOLDEN["side/mask"]
    errors = scale_invariant_errors(*depths, mask)
    close(errors, "side/map_masked")
    close(scale_invariant_errors(*depths), "side/map")
    close(mean_over(errors, mask).sqrt(), "side/value")


def test_angles_between_normals():
    angles, mask = cosine_angles(GOLDEN["mad/normal_pred"], GOLDEN["mad/normal_gt"]), GOLDEN["side/mask"]
    close(angles * mask, "mad/map", rtol=1e-4, atol=1e-3)
    close(mean_over(angles, mask), "mad/value")


def bowl(size=24):
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    depth = 0.95 + 0.1 * (x**2 + y**2)
    return torch.where(x**2 + y**2 < 0.8, depth, 1.1)


def result_of(depth, **arrays):
    return Reconstruction("bowl", arrays=dict(depth=depth, **arrays))


def test_a_scaled_depth_has_no_scale_invariant_error():
    metric, truth = DepthImageMetrics(), bowl()
    exact = metric.add_item(dict(depth=truth), result_of(truth))
    shortened = exact.pop("mad")
    assert exact == dict(side=0, normal_error=pytest.approx(0, abs=1e-4), mae=0, mse=0) and 1 < shortened < 3
    scaled = metric.add_item(dict(depth=truth), result_of(truth * 0.9))
    assert scaled["side"] == pytest.approx(0, abs=1e-5) and scaled["mae"] == pytest.approx(0.1 * 0.98, rel=0.05)
    found = metric.compute()["depth images"]
    assert found["pictures"] == 2 and found["mae"] == pytest.approx((exact["mae"] + scaled["mae"]) / 2)


def test_background_outline_and_what_is_not_visible_do_not_count():
    truth, metric = bowl(), DepthImageMetrics()
    inside = (truth < truth.max()).float()
    inner = torch.nn.functional.avg_pool2d(inside[None], 3, 1, 1)[0] > 0.99
    assert metric.add_item(dict(depth=truth), result_of(torch.where(inner, truth, 0.9)))["mae"] == 0
    half = torch.ones_like(truth)
    half[:, 12:] = 0
    changed = truth.clone()
    changed[:, 11:] = 0.9
    assert metric.add_item(dict(depth=truth), result_of(changed, visible=half))["mae"] == 0


def test_items_without_truth_are_left_out():
    metric = DepthImageMetrics()
    assert metric.add_item({}, result_of(bowl())) == {} and metric.compute() == {}
