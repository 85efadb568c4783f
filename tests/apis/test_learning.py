"""IDR learns a shape and its appearance from photographs: a short run from the paper's start, a sphere."""

import pytest

from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.testing import evaluate
from deep3dmap.evaluation.metrics import SurfaceMetrics, ViewMetrics

SMALL = {
    "scene.capture.views": 12, "scene.capture.test_views": 2, "scene.capture.size": (64, 64), "scene.capture.supersample": 1,
    "model.geometry.width": 64, "model.geometry.depth": 3, "model.geometry.skip": [], "model.geometry.frequencies": 4,
    "model.geometry.features": 16, "model.radiance.width": 64, "model.radiance.depth": 2, "model.radiance.features": 16,
    "model.radiance.view_frequencies": 0, "model.radiance.point_frequencies": 0, "model.renderer.samples": 32,
    "model.losses.mask.alpha": [50, 200, 800], "train_dataset.rays": 384, "test_dataset.split": "test",
    "optim_wrapper.optimizer.lr": 2e-3, "train_cfg.average": 0.9, "param_scheduler.decay": 0.1, "param_scheduler.warmup": 0,
    "train_cfg.stages": [dict(name="train", max_steps=200)], "train_cfg.max_minutes": None,
}  # yapf: disable


def figures(runner) -> dict:
    """Distance to the true head (fraction of its diagonal), normal consistency, and PSNR and IoU of the held-out views."""
    result = evaluate(runner.framework, runner.build_test_data(), [SurfaceMetrics(samples=5000), ViewMetrics()], resolution=64)
    return result.metrics["surface"] | result.metrics["held-out views"]


@pytest.fixture(scope="module")
def before_and_after(head_file, tmp_path_factory):
    """Figures right after the start and after two hundred steps."""
    config = load_config("configs/idr/synthetic_head.py", SMALL | {"scene.capture.mesh": str(head_file)})
    runner = build_runner(config, work_dir=str(tmp_path_factory.mktemp("learning")), progress=False)
    runner.setup(runner.build_test_data().dataset.info())
    start = figures(runner)
    runner.train()
    return start, figures(runner)


def test_the_surface_comes_to_lie_on_the_true_one(before_and_after):
    start, end = before_and_after
    assert start["distance_mean_relative"] > 0.05  # a sphere
    assert end["distance_mean_relative"] < 0.01
    assert end["normal_consistency"] > 0.9 > start["normal_consistency"]


def test_held_out_views_come_to_look_as_they_should(before_and_after):
    start, end = before_and_after
    assert end["mask_iou"] > 0.95
    assert end["psnr"] > start["psnr"] + 5
