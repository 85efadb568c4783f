"""Silhouettes that contradict each other: five balls around the origin, seen from all sides; masks by geometry alone."""

import re

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.silhouette_checks import Outlines, contradiction_warnings, hull_agreement
from deep3dmap.structures import Cameras, Capture
from tests.datasets.conftest import looking_at_origin
from tests.datasets.faults import FAULTS, OTHER, VIEW, camera_off, mask_inverted, masks_shifted, principal_point_off

VIEWS, SIZE, FOCAL = 6, (72, 84), 105.0
BALLS = [((0.6, 0.1, 0), 0.25), ((-0.2, 0.5, 0.3), 0.3), ((0, -0.5, 0.2), 0.2), ((0.1, 0, -0.4), 0.4), ((0, 0.1, 0.7), 0.15)]


def balls_capture(views: int = VIEWS) -> Capture:
    """Exact silhouettes: pixels whose ray passes a ball's centre at less than its radius."""
    centers = np.random.default_rng(5).normal(size=(views, 3))
    poses = np.stack([looking_at_origin(4.0 * c / np.linalg.norm(c)) for c in centers])
    K = np.array([[FOCAL, 0, SIZE[1] / 2], [0, FOCAL, SIZE[0] / 2], [0, 0, 1.0]])
    v, u = np.mgrid[:SIZE[0], :SIZE[1]] + 0.5
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    masks = np.zeros((views, *SIZE), bool)
    for mask, pose in zip(masks, poses):
        for center, radius in BALLS:
            mask |= np.linalg.norm(np.cross(rays, pose[:, :3] @ center + pose[:, 3]), axis=-1) < radius
    cameras = Cameras(torch.from_numpy(np.stack([K] * views)), torch.from_numpy(poses), SIZE)
    names = tuple(f"view_{k}" for k in range(views))
    return Capture(torch.zeros(views, *SIZE, 3, dtype=torch.uint8), cameras, names, torch.from_numpy(masks))


def warnings_of(capture: Capture) -> list[str]:
    return contradiction_warnings(capture.names, capture.masks, capture.cameras, SIZE)


@pytest.mark.parametrize("views", [2, VIEWS])
def test_exact_silhouettes_do_not_contradict_each_other(views):
    capture = balls_capture(views)
    assert warnings_of(capture) == []
    assert hull_agreement(capture.masks, capture.cameras) == 1.0


#: What one mask shows by itself, and what silhouettes can't show, is not among them; shifts have a test of their own.
TOLD = [name for name, (break_, words) in FAULTS.items()
        if words and name != "one mask inverted" and break_ not in (principal_point_off, masks_shifted)]  # yapf: disable


@pytest.mark.parametrize("fault", TOLD)
def test_a_fault_is_reported_with_the_change_that_undoes_it(fault):
    break_, words = FAULTS[fault]
    (line, ) = warnings_of(break_(balls_capture()))
    assert words.format(view=f"view_{VIEW}", other=f"view_{OTHER}") in line


@pytest.mark.parametrize("break_, shift", [(principal_point_off, -20 / 256), (masks_shifted, 6 / 96)])
def test_the_common_shift_is_reported_in_pixels(break_, shift):
    (line, ) = warnings_of(break_(balls_capture()))
    dx, dy = (int(n) for n in re.search(r"moved by \((-?\d+), (-?\d+)\)", line).groups())
    assert abs(dx - shift * SIZE[1]) <= 2 and abs(dy) <= 2


def test_an_inverted_mask_is_found_by_the_other_silhouettes():
    assert f"the mask of view_{VIEW} inverted" in warnings_of(mask_inverted(balls_capture()))[0]


def test_the_hull_does_not_cover_contradictory_silhouettes():
    capture = camera_off(balls_capture(), 0.1)
    assert hull_agreement(capture.masks, capture.cameras) < 0.9


def test_many_views_are_all_compared_with_some_of_them():
    capture = balls_capture(40)
    found = Outlines.of(capture.masks).compare(capture.cameras.projections)
    assert len(found.references) == 24 and found.view.unique().numel() == 40 and found.share() == 0
