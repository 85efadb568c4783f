"""Rays against silhouettes: discs and squares of which it is known what they share."""

import torch

from deep3dmap.geometry.silhouette_consistency import contradictions
from deep3dmap.geometry.silhouettes import mask_distance

SIDE, FOCAL, DISTANCE = 60, 100.0, 5.0


def cameras_from_two_sides() -> torch.Tensor:
    """Cameras on the z and x axes that look at the origin; y is the rows' direction in both."""
    K = torch.tensor([[FOCAL, 0, SIDE / 2], [0, FOCAL, SIDE / 2], [0, 0, 1]], dtype=torch.float64)
    front = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, DISTANCE]], dtype=torch.float64)
    side = torch.tensor([[0, 0, -1.0, 0], [0, 1, 0, 0], [1, 0, 0, DISTANCE]], dtype=torch.float64)
    return torch.stack([K @ front, K @ side])


def rows(top: int, bottom: int) -> torch.Tensor:
    """A mask of some rows, 20 columns wide."""
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[top:bottom, 20:40] = True
    return mask


def compared(*masks):
    distances = torch.stack([mask_distance(mask) for mask in masks])
    return contradictions(distances, cameras_from_two_sides(), torch.zeros(3).double(), 2.0, [0, 1], 1000)


def test_silhouettes_of_one_box_agree():
    found = compared(rows(20, 40), rows(20, 40))
    assert found.share() == 0 and found.by_view().tolist() == [0, 0]


def test_the_rows_that_the_other_view_lacks_are_contradicted():
    found = compared(rows(20, 40), rows(20, 30))
    assert found.by_view()[1] == 0
    # rows 30 to 40 of the first view have nothing at their height but the tolerance and what perspective moves (about 10 %)
    assert 0.3 < found.by_view()[0] < 0.5


def test_without_one_of_two_views_nothing_is_contradicted():
    found = compared(rows(10, 30), rows(35, 50))
    assert found.share() == 1 and found.without_each().tolist() == [0, 0]


def test_rays_are_spread_over_a_silhouette():
    distances = torch.stack([mask_distance(rows(0, 60))] * 2)
    found = contradictions(distances, cameras_from_two_sides(), torch.zeros(3).double(), 2.0, [0], 50)
    assert found.view.bincount().tolist() == [50, 50] and found.outside.shape[:2] == (1, 100)


def test_what_is_behind_a_camera_counts_as_outside():
    P = cameras_from_two_sides()
    distances = torch.stack([mask_distance(rows(20, 40))] * 2)
    behind = torch.tensor([0.0, 0, -2 * DISTANCE], dtype=torch.float64)  # behind the first camera
    assert contradictions(distances, P, behind, 1.0, [0, 1], 10).outside[:, :10].all()
