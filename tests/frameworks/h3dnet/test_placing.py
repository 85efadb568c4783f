"""Placing a head by its masks, alone or from a start."""

from functools import partial

import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.outline_fit import moved
from deep3dmap.frameworks.h3dnet.placing import BODY, NO_NECK, fit_to_masks
from deep3dmap.frameworks.h3dnet.view_checks import faces_seen
from deep3dmap.geometry.rotations import rotation_angle_error
from tests.frameworks.h3dnet.balls import BASIS, MEAN, ROUND, cameras, decoder, masks, placement

TRUE, CODE = placement(), torch.tensor([0.04, 0.05])
FRONT, AROUND = (0.0, 45.0, -45.0), (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
START = moved(TRUE, torch.tensor([0.1, -0.12, 0.1, 0.05, -0.05, 0.05, 0.08]))

NEAR = moved(TRUE, torch.tensor([0.03, -0.03, 0.03, 0.02, -0.02, 0.02, 0.02]))


def fit(azimuths=FRONT, shown=None, kind="face", **options):
    views = cameras(TRUE, azimuths)
    shown = masks(TRUE, views, CODE, kind) if shown is None else shown
    return fit_to_masks(partial(decoder, kind=kind), views, shown, MEAN, BASIS, rays=300, **options)


def assert_found(found, degrees=2.0, length=0.02):
    assert rotation_angle_error(found.placement.rotation, TRUE.rotation) < degrees
    corners = torch.cartesian_prod(*[torch.tensor([-0.4, 0.4])] * 3)
    assert (found.placement.to_head(TRUE.to_scene(corners)) - corners).norm(dim=1).mean() < length
    assert found.overlaps.min() > 0.95 and len(found.overlaps)


@pytest.mark.parametrize("azimuths", [FRONT, AROUND])
def test_masks_alone_give_pose_and_code(azimuths):
    found = fit(azimuths)
    assert_found(found)
    torch.testing.assert_close(found.code, CODE, atol=0.015, rtol=0)
    torch.testing.assert_close(found.code, MEAN + BASIS @ found.weights)
    assert found.problems == ()


def test_a_start_is_improved():
    found = fit(start=START)
    assert_found(found)
    assert found.rival is None


def test_a_given_scale_is_kept():
    found = fit(start=moved(START, torch.tensor([0.0] * 6 + [-0.08])), fixed_scale=TRUE.scale)
    assert found.placement.scale == pytest.approx(TRUE.scale, abs=1e-5)
    assert_found(found)


def with_body(shown):
    """Masks that go on below the chin as a body as wide as the picture's half."""
    rows = torch.arange(shown.shape[1])
    body = (rows[:, None] > 100) & ((rows - 64).abs() < 34)[None]
    return shown | body


def test_a_body_in_the_masks_leaves_a_started_head_where_it_is_and_is_reported():
    views = cameras(TRUE, FRONT)
    found = fit(shown=with_body(masks(TRUE, views, CODE)), start=NEAR)
    assert rotation_angle_error(found.placement.rotation, TRUE.rotation) < 3.0
    assert (found.placement.to_head(TRUE.to_scene(torch.zeros(1, 3)))).norm() < 0.03
    assert found.problems == (BODY, )


def test_masks_that_end_at_the_chin_leave_a_started_head_where_it_is_and_no_body_is_reported():
    views = cameras(TRUE, FRONT)
    shown = masks(TRUE, views, CODE)
    shown[:, 84:] = False
    found = fit(shown=shown, start=NEAR)
    assert rotation_angle_error(found.placement.rotation, TRUE.rotation) < 3.0
    assert (found.placement.to_head(TRUE.to_scene(torch.zeros(1, 3)))).norm() < 0.03
    assert found.problems == (NO_NECK, )


def test_masks_of_an_unlikely_head_away_from_the_start_leave_the_mean_head_there_and_are_reported():
    views = cameras(TRUE, FRONT)
    found = fit(shown=masks(TRUE, views, torch.tensor([0.3, 0.0])), start=START)  # five deviations, as hair makes a skull
    assert torch.equal(found.placement.rotation, START.rotation) and torch.equal(found.code, MEAN)
    assert "no head of the prior fits these masks" in found.problems[0]


def test_the_same_seed_finds_the_same_bits_and_another_one_the_same_head():
    first, second, other = (fit(start=START, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.placement.rotation, second.placement.rotation) and torch.equal(first.code, second.code)
    assert not torch.equal(first.placement.rotation, other.placement.rotation)
    assert_found(other)


def test_a_head_whose_back_looks_like_its_front_faces_the_cameras_and_is_reported():
    found = fit(FRONT, kind=ROUND)
    assert faces_seen(found.placement, cameras(TRUE, FRONT)).sum() > 1
    assert any("fits the masks as well" in problem for problem in found.problems)


def test_masks_that_show_something_else_are_reported():
    box = torch.zeros(3, 128, 128, dtype=torch.bool)
    box[:, 20:110, 50:120] = True
    (problem, ) = [p for p in fit(shown=box, start=START).problems if "overlap by" in p]
    assert problem.endswith("check masks and landmarks: masks should show the head only")


def test_images_without_an_up_in_common_are_refused():
    views = cameras(TRUE, (0.0, 0.0))
    views.world_to_cam[1, :2] *= -1
    with pytest.raises(DataError, match="no common up direction"):
        fit_to_masks(decoder, views, masks(TRUE, views, CODE), MEAN, BASIS)


def bar() -> torch.Tensor:
    masks = torch.zeros(3, 128, 128, dtype=torch.bool)
    masks[:, 60:68, 10:118] = True
    return masks


def one_empty() -> torch.Tensor:
    shown = masks(TRUE, cameras(TRUE), CODE)
    shown[1] = False
    return shown


@pytest.mark.parametrize("arguments, message", [
    (lambda: dict(shown=one_empty(), names=["front.png", "left.png", "right.png"]), "left.png: its mask is empty"),
    (lambda: dict(shown=torch.ones(3, 64, 64, dtype=torch.bool)), "3 masks of .64, 64. but 3 cameras"),
    (lambda: dict(azimuths=(0.0, )), "two or more views"),
    (lambda: dict(azimuths=(150.0, 180.0, 210.0), start=TRUE), "no view sees the face(?!.*overlap)"),
    (lambda: dict(azimuths=(150.0, 180.0, 210.0), shown=bar(), start=TRUE),
     "overlap by only [0-9]+% .90% expected.: do the masks show a head"),
])  # yapf: disable
def test_masks_that_place_no_head_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        fit(**arguments())


def test_a_mask_that_cuts_the_head_is_reported_by_its_views_name():
    shown = masks(TRUE, cameras(TRUE), CODE)
    shown[2, :42] = False
    found = fit(shown=shown, start=TRUE, names=["front.png", "left.png", "right.png"])
    assert [problem for problem in found.problems if "its mask cuts off" in problem][0].startswith("right.png")
