"""Unusable silhouettes, and those with warnings only: an analytic sphere seen by a ring of cameras."""

import re

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.scene_checks import (
    Silhouettes,
    capture_warnings,
    part_past_sphere,
    small_mask,
    unusable_reason,
)
from deep3dmap.structures import Cameras
from tests.datasets.conftest import camera_ring

VIEWS, SIZE, FOCAL = 8, (60, 80), 60.0


def similarity(scale: float = 1.0, shift=(0.0, 0.0, 0.0)) -> torch.Tensor:
    """x' = scale * (x - shift)."""
    matrix = torch.diag(torch.tensor([scale, scale, scale, 1.0], dtype=torch.float64))
    matrix[:3, 3] = -scale * torch.tensor(shift, dtype=torch.float64)
    return matrix


def ball(radius: float = 0.5, views: int = VIEWS) -> Silhouettes:
    """Silhouettes of a ball around the origin, from the angle between each pixel's ray and the camera's axis."""
    poses = camera_ring(views, 3.0)
    K = np.array([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1.0]])
    v, u = np.mgrid[:SIZE[0], :SIZE[1]] + 0.5
    across = np.hypot(u - SIZE[1] / 2, v - SIZE[0] / 2) / FOCAL
    distances = np.linalg.norm(poses[:, :, 3], axis=1)
    masks = np.stack([np.arctan(across) < np.arcsin(radius / d) for d in distances])
    cameras = Cameras(torch.from_numpy(np.stack([K] * views)), torch.from_numpy(poses), SIZE)
    return Silhouettes([f"v{k}" for k in range(views)], torch.from_numpy(masks), [""] * views, cameras)


def test_an_object_in_the_sphere_is_usable_without_warnings():
    assert unusable_reason(ball(), similarity()) == "" and capture_warnings(ball(), similarity()) == []


def test_a_small_object_in_a_large_sphere_is_not_reported_outside():
    assert unusable_reason(ball(0.1), similarity(0.05, (3.0, 0, 0))) == ""


def test_a_thin_object_does_not_get_lost_between_the_cells():
    assert unusable_reason(ball(0.06), similarity()) == ""


@pytest.mark.parametrize("radius, center", [(1.0, (2.0, 0, 0)), (0.2, (0, 0.9, 0))])
def test_an_object_outside_the_sphere_is_unusable_and_both_positions_are_reported(radius, center):
    found = unusable_reason(ball(), similarity(1 / radius, center))
    assert found.startswith("the object is outside the unit sphere") and "scene.normalization='hull'" in found
    numbers = [float(n) for n in re.findall(r"-?\d[\d.e-]*", found)]
    assert numbers[:3] == pytest.approx([0, 0, 0], abs=0.02)  # then half the diagonal of its box
    assert numbers[4:8] == pytest.approx([*center, radius])


def test_the_fraction_outside_the_sphere_is_that_of_the_discs():
    views = ball(0.5)
    radius = 0.25  # of the unit sphere, in the world
    distances = views.cameras.centers.norm(dim=-1)
    outer, inner = (torch.tan(torch.arcsin(r / distances)) for r in (0.5, radius))
    expected = 1 - (inner**2).sum() / (outer**2).sum()
    assert part_past_sphere(views, similarity(1 / radius)) == pytest.approx(expected.item(), abs=0.03)


def test_an_object_partly_outside_the_sphere_is_a_warning_and_one_mostly_outside_unusable():
    assert any("outside the unit sphere" in line for line in capture_warnings(ball(), similarity(1 / 0.45)))
    assert unusable_reason(ball(), similarity(1 / 0.45)) == ""
    assert "the object is not in it" in unusable_reason(ball(), similarity(1 / 0.2))


def test_one_bad_mask_among_many_is_still_usable():
    views = ball()
    views.masks[2] = torch.roll(views.masks[2], 40, 1)
    assert unusable_reason(views, similarity()) == ""


def test_masks_of_other_cameras_are_unusable_and_the_hints_name_the_views():
    views = ball(0.2)
    for k in range(VIEWS):
        views.masks[k] = torch.roll(views.masks[k], ((-20, -30), (-20, 30), (20, -30), (20, 30))[k % 4], (0, 1))
    found = unusable_reason(views, similarity())
    assert "most of the silhouettes" in found and "v0" in found


def test_a_single_view_is_unusable():
    assert "only one view" in unusable_reason(ball(views=1))


def test_coincident_cameras_are_unusable_and_close_ones_are_not():
    views = ball(views=3)
    views.cameras.world_to_cam[:] = views.cameras.world_to_cam[0].clone()
    assert "all cameras" in unusable_reason(views)
    views.cameras.world_to_cam[1, 0, 3] += 1e-3
    assert unusable_reason(views) == ""


@pytest.mark.parametrize("problems, words", [
    (["empty"] * VIEWS, "every mask is empty"),
    (["full"] * VIEWS, "every mask covers the whole image"),
    (["inverted"] * VIEWS, "every mask seems inverted"),
    (["inverted"] * 4 + ["full"] * 4, "all 8 masks are empty, full or inverted"),
    (["empty", "", "empty"] + [""] * 5, "v0, v2: the mask is empty"),
    (["inverted"] + [""] * 7, "v0: the mask seems inverted"),
    (["full"] + [""] * 7, ""),
])  # yapf: disable
def test_masks_without_information_are_unusable(problems, words):
    views = ball()
    views.mask_problems = problems
    assert words in unusable_reason(views) and bool(words) == bool(unusable_reason(views))


def test_nothing_of_an_object_gets_lost_in_the_small_copy():
    mask = torch.zeros(1000, 1500, dtype=torch.bool)
    mask[703, 1499] = True
    small = small_mask(mask)
    assert small.shape == (167, 250) and small[703 // 6, 1499 // 6] and small.sum() == 1
