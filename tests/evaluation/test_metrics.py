"""The registered metrics, on predictions and cameras whose figures are known."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.evaluation.metrics import CameraMetrics, SurfaceMetrics, ViewMetrics
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.structures import Cameras, Reconstruction

SIZE = (16, 20)


def view(split="test", masked=True):
    """A view of noise whose left half shows the object."""
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[:, :10] = True
    rgb = torch.rand(SIZE[0] * SIZE[1], 3, generator=torch.Generator().manual_seed(0)) * 0.8
    return dict(rgb=rgb, mask=mask.flatten() if masked else None, size=SIZE, split=split, name="x")


def prediction(item, error=0.0, columns=10):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[:, :columns] = True
    return Reconstruction("x", images=dict(rgb=(item["rgb"] + error).reshape(*SIZE, 3), mask=mask))


def test_the_psnr_of_a_constant_error_inside_the_mask_is_known():
    metric, item = ViewMetrics(), view()
    rendered = prediction(item, 0.1)
    rendered.images["rgb"][~item["mask"].reshape(SIZE)] = 0.0  # outside does not count
    figures = metric.add_item(item, rendered)
    assert figures["psnr"] == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("columns,iou", [(10, 1.0), (5, 0.5), (20, 0.5), (0, 0.0)])
def test_the_iou_of_masks_is_known(columns, iou):
    item = view()
    assert ViewMetrics().add_item(item, prediction(item, columns=columns))["mask_iou"] == pytest.approx(iou)


def test_a_view_too_small_for_ssim_has_the_other_figures_and_a_note():
    metric, size = ViewMetrics(), (10, 12)
    seen = torch.ones(120, dtype=torch.bool)
    figures = metric.add_item(dict(rgb=torch.zeros(120, 3), mask=seen, size=size, split="test", name="x"),
                              Reconstruction("x", images=dict(rgb=torch.full((*size, 3), 0.1), mask=seen.reshape(size))))
    assert set(figures) == {"psnr", "mask_iou"} and figures["psnr"] == pytest.approx(20.0, abs=1e-3)
    assert set(metric.compute()["held-out views"]) == {"psnr", "mask_iou", "mask_iou_min", "views"}
    assert len(metric.notes()) == 1


def test_the_best_shift_is_given_where_it_is_asked_for():
    item = view()
    seen = prediction(item)
    seen.images["mask"] = seen.images["mask"].roll(1, 1)
    assert "mask_iou_shifted" not in ViewMetrics().add_item(item, seen)
    figures = ViewMetrics(shift=1).add_item(item, seen)
    assert (figures["mask_iou"], figures["mask_iou_shifted"]) == (pytest.approx(9 / 11), 1)


def test_views_are_averaged_by_split():
    metric, item = ViewMetrics(), view("train")
    for columns in (10, 5):
        metric.add_item(item, prediction(item, 0.1, columns))
    metric.add_item(view("test"), prediction(item, 0.01))
    figures = metric.compute()
    assert figures["training views"]["mask_iou"] == pytest.approx(0.75)
    assert figures["training views"]["mask_iou_min"] == pytest.approx(0.5) and figures["training views"]["views"] == 2
    assert figures["held-out views"]["psnr"] == pytest.approx(40.0, abs=1e-2) and figures["held-out views"]["views"] == 1


def test_views_without_masks_are_compared_whole():
    item = view(masked=False)
    figures = ViewMetrics().add_item(item, prediction(item, 0.1))
    assert "mask_iou" not in figures and figures["psnr"] == pytest.approx(20.0, abs=1e-3)


def test_groups_without_views_are_omitted():
    assert ViewMetrics().compute() == {} and SurfaceMetrics().compute() == {} and CameraMetrics().compute() == {}


def cameras(shift=(0.0, 0.0, 0.0)) -> Cameras:
    """Twelve cameras around the origin, their centres moved."""
    poses = sphere_of_cameras(12, 4.0).double()
    poses[:, :, 3] -= (poses[:, :, :3] @ torch.tensor(shift, dtype=torch.float64))
    return Cameras(torch.eye(3, dtype=torch.float64).repeat(12, 1, 1), poses, SIZE)


def scene(given=None, truth=None, mesh=None) -> dict:
    return dict(name="x", true_mesh=mesh, cameras=given, true_cameras=truth)


def test_the_distance_between_two_spheres_is_known():
    metric = SurfaceMetrics(thresholds=(0.01, ), samples=3000)
    ball = trimesh.creation.icosphere(subdivisions=4)
    metric.add_item(scene(mesh=ball), Reconstruction("x", ball.copy().apply_scale(1.1)))
    assert metric.compute()["surface"]["distance_mean"] == pytest.approx(0.1, abs=2e-3)
    assert metric.compute()["surface"]["f_score@1%"] == 0.0


def test_a_dataset_without_truth_is_no_error():
    metrics = [SurfaceMetrics(), CameraMetrics()]
    for metric in metrics:
        metric.add_item({}, Reconstruction("x", trimesh.creation.box()))
        metric.add_item(scene(), Reconstruction("x"))
        assert metric.compute() == {}


def test_a_mesh_in_the_frame_of_trained_cameras_is_aligned_with_the_true_ones():
    ball, shift = trimesh.creation.icosphere(subdivisions=4), (0.5, 0.0, -0.2)
    moved = ball.copy().apply_translation(shift)
    figures = []
    for trained in (cameras(shift), None):
        metric = SurfaceMetrics(samples=3000)
        metric.add_item(scene(truth=cameras(), mesh=ball), Reconstruction("x", moved, cameras=trained))
        figures.append(metric.compute()["surface"]["distance_mean"])
    assert figures[0] < 2e-3 < 0.1 < figures[1]
    assert np.allclose(moved.vertices, ball.vertices + shift)  # the mesh itself stays where it was


def test_trained_cameras_are_compared_beside_the_given_ones():
    metric = CameraMetrics()
    turned = cameras()
    noisy = turned.world_to_cam.clone()
    noisy[::2, :, 3] += 0.3
    metric.add_item(scene(Cameras(turned.K, noisy, SIZE), cameras()), Reconstruction("x", cameras=turned))
    figures = metric.compute()["cameras"]
    assert figures["given_center_error_mean"] > 0.05 and figures["center_error_mean"] < 1e-6
