"""Cameras get better while the surface is learnt: a short run of the config for noisy cameras, on a small capture."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.ray_batches import scene_item
from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.evaluation.metrics import CameraMetrics, SurfaceMetrics
from deep3dmap.geometry.alignment import align_cameras
from deep3dmap.structures import Cameras, Reconstruction


def small(ball_file) -> dict:
    fit = dict(name="fit_sdf",
               max_steps=100,
               params=["geometry.*"],
               optim_wrapper=dict(optimizer=dict(type="Adam", lr=2e-3)),
               train_dataset=dict(type="HullDistances", tolerance=2, resolution=48, points=1024))
    capture = dict(mesh=str(ball_file), size=(48, 48), views=12, test_views=1, camera_noise=3.0, supersample=1)
    geometry = dict(width=48, depth=3, skip=[], features=8, frequencies=3)
    radiance = dict(width=48, depth=2, features=8, view_frequencies=0)
    values = {"train_cfg.stages": [fit, dict(name="train", max_steps=350)], "train_cfg.max_minutes": None}
    values |= {"train_dataset.rays": 256, "model.renderer.iterations": 8, "model.renderer.samples": 24}
    values |= {"optim_wrapper.rest.optimizer.lr": 3e-3, "optim_wrapper.cameras.optimizer.lr": 1e-3}
    for name, part in (("scene.capture", capture), ("model.geometry", geometry), ("model.radiance", radiance)):
        values |= {f"{name}.{key}": value for key, value in part.items()}
    return values


@pytest.fixture(scope="module")
def trained(ball_file, tmp_path_factory):
    """The runner after training."""
    config = load_config("configs/idr/synthetic_head_noisy_cameras.py", small(ball_file))
    runner = build_runner(config, work_dir=str(tmp_path_factory.mktemp("noisy")), progress=False)
    runner.train()
    return runner


def aligned(cameras: Cameras, truth: Cameras) -> tuple[Cameras, torch.Tensor]:
    """Cameras after the similarity that takes them to the true ones, and that similarity."""
    poses = [pose for c in (cameras, truth) for pose in (c.cam_to_world[:, :, :3].double(), c.centers.double())]
    scale, rotation, translation = align_cameras(*poses)
    similarity = torch.eye(4, dtype=torch.float64)
    similarity[:3, :3], similarity[:3, 3] = scale * rotation, translation
    return cameras.to(torch.float64).transformed(similarity), similarity


def pixel_error(cameras: Cameras, scene) -> float:
    """Mean distance in the photographs between where cameras and where the true ones see the true surface."""
    truth = scene.train.true_cameras.to(torch.float64)
    points = torch.tensor(np.asarray(scene.capture.mesh.vertices))[::5]
    cameras = aligned(Cameras(cameras.K, cameras.world_to_cam, truth.size), truth)[0]
    return float((cameras.project(points)[0] - truth.project(points)[0]).norm(dim=-1).mean())


def test_noisy_cameras_come_to_see_the_surface_where_the_true_ones_do(trained):
    scene = trained.train_loop.source.dataset.scene
    before, after = (pixel_error(c, scene) for c in (scene.train.cameras, trained.framework.trained_cameras()))
    assert before > 3  # of 48 pixels
    assert after < 0.5 * before


def test_mixed_precision_leaves_the_rays_of_trained_cameras_exact(trained):
    view, uv = torch.zeros(50, dtype=torch.long), torch.rand(50, 2) * 48
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        mixed = trained.framework.cameras(view, uv)
    with torch.no_grad():
        assert all(torch.equal(ours, exact) for ours, exact in zip(mixed, trained.framework.cameras(view, uv)))


def test_the_camera_metrics_tell_given_and_trained_cameras_apart(trained):
    metric = CameraMetrics()
    metric.add_item(scene_item(trained.train_loop.source.dataset.scene),
                    Reconstruction("x", cameras=trained.framework.trained_cameras()))
    figures = metric.compute()["cameras"]
    assert figures["center_error_mean"] < 0.9 * figures["given_center_error_mean"]


def test_the_mesh_is_measured_in_the_true_cameras_frame(trained):
    """A mesh moved together with all cameras is as good as before."""
    scene, framework = trained.train_loop.source.dataset.scene, trained.framework
    mesh = framework.extract_mesh(40, color=False)
    figures = []
    for shift in (0.0, 0.5):
        metric = SurfaceMetrics(samples=4000)
        moved = framework.trained_cameras().transformed(
            torch.tensor([[1, 0, 0, shift], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]).double())
        metric.add_item(scene_item(scene), Reconstruction("x", mesh.copy().apply_translation([shift, 0, 0]), cameras=moved))
        figures.append(metric.compute()["surface"]["distance_mean"])
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)
    assert figures[0] < 0.05 * scene.capture.mesh.scale


def test_a_resumed_run_has_the_trained_cameras(trained, tmp_path):
    from deep3dmap.apis import load_framework
    again = load_framework(trained.work_dir)
    torch.testing.assert_close(again.trained_cameras().world_to_cam, trained.framework.trained_cameras().world_to_cam)
