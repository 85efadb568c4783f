"""Overlays of faces: what is drawn is where the points are, and the picture itself stays as it is."""

import numpy as np
import pytest

from deep3dmap.visualization.faces import draw_box, draw_landmarks, draw_points

BLACK = np.zeros((60, 80, 3), np.uint8)


def drawn_at(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest column and row that aren't black."""
    rows, columns = np.nonzero(picture.any(-1))
    return np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])


@pytest.mark.parametrize("draw, count", [(draw_landmarks, 68), (draw_points, 500), (draw_box, 8)])
def test_what_is_drawn_spans_the_points_on_a_copy(draw, count):
    points = np.random.default_rng(1).uniform([20, 10, -5], [60, 50, 5], (count, 3))
    low, high = drawn_at(draw(BLACK, points))
    assert np.abs(low - points[:, :2].min(0)).max() < 6 and np.abs(high - points[:, :2].max(0)).max() < 6
    assert not BLACK.any()


def test_of_many_points_only_so_many_are_drawn():
    points = np.stack([np.arange(0, 79, 0.01), np.full(7900, 30), np.zeros(7900)], 1)
    sparse, dense = (np.count_nonzero(draw_points(BLACK, points, most).any(-1)) for most in (8, 8000))
    assert sparse < dense / 2


@pytest.mark.parametrize("draw, count", [(draw_landmarks, 68), (draw_points, 100), (draw_box, 8)])
def test_points_far_outside_are_left_out(draw, count):
    assert not draw(BLACK, np.full((count, 3), 1e9)).any()


def test_no_points_leave_the_picture_as_it_is():
    assert not draw_points(BLACK, np.zeros((0, 3))).any()
