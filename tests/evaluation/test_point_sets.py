"""Point sets: the reference's numbers, all pairs tried, all matchings tried."""

from itertools import permutations

import numpy as np
import pytest

from deep3dmap.datasets.shapes.sdf_samples.layout import Normalization
from deep3dmap.errors import DataError
from deep3dmap.evaluation import point_sets
from deep3dmap.evaluation.point_sets import chamfer_figures, nearest_distances
from tests.goldens import cases


def cloud(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 3))


def all_distances(first, second):
    return np.linalg.norm(first[:, None] - second, axis=-1)


@pytest.mark.parametrize("case", cases("deepsdf/chamfer", r"(.+)/sampled_points"))
def test_the_squared_chamfer_distance_match_the_references(goldens, case):
    golden = goldens("deepsdf/chamfer")
    points = Normalization(golden[f"{case}/offset"], float(golden[f"{case}/scale"])).undo(golden[f"{case}/sampled_points"])
    figure = chamfer_figures(points, golden[f"{case}/gt_points"])["point_chamfer_squared"]
    assert figure == pytest.approx(float(golden[f"{case}/chamfer"]), rel=1e-12)


def test_nearest_distances_are_those_of_all_pairs_tried():
    first, second = cloud(50, 0), cloud(70, 1)
    assert nearest_distances(first, second) == pytest.approx(all_distances(first, second).min(1), abs=1e-12)


def test_the_mean_distance_is_the_mean_of_both_ways():
    first, second = cloud(40, 0), cloud(90, 1)
    pairs = all_distances(first, second)
    assert chamfer_figures(first, second)["point_distance_mean"] == pytest.approx(
        (pairs.min(1).mean() + pairs.min(0).mean()) / 2)


def test_the_earth_movers_distance_is_the_best_of_all_matchings():
    first, second = cloud(7, 0), cloud(7, 1)
    pairs = all_distances(first, second)
    best = min(np.mean([pairs[i, j] for i, j in enumerate(order)]) for order in permutations(range(7)))
    assert point_sets.earth_movers_distance(first, second) == pytest.approx(best, abs=1e-12)


def test_points_on_a_line_are_moved_in_their_order():
    first, second = np.zeros((300, 3)), np.zeros((300, 3))
    first[:, 0], second[:, 0] = np.random.default_rng(0).uniform(0, 1, 300), np.random.default_rng(1).uniform(0.5, 3, 300)
    expected = np.abs(np.sort(first[:, 0]) - np.sort(second[:, 0])).mean()  # the Wasserstein distance on a line
    assert point_sets.earth_movers_distance(first, second) == pytest.approx(expected, abs=1e-12)


def test_moving_all_points_costs_the_length_of_the_move():
    points = cloud(200, 0)
    assert point_sets.earth_movers_distance(points, points[::-1] + [0.0, 3.0, 4.0]) == pytest.approx(5.0)


def test_the_earth_movers_distance_sees_what_chamfer_does_not():
    ends = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    even, uneven = ends[[0, 0, 1, 1]], ends[[0, 0, 0, 1]]
    assert chamfer_figures(even, uneven)["point_chamfer_squared"] == 0
    assert point_sets.earth_movers_distance(even, uneven) == pytest.approx(0.25)


@pytest.mark.parametrize("call, message", [
    (lambda: point_sets.earth_movers_distance(cloud(3, 0), cloud(4, 0)), "these have 3 and 4"),
    (lambda: point_sets.earth_movers_distance(np.zeros((5001, 3)), np.zeros((5001, 3))), "at most 5000"),
])  # yapf: disable
def test_sets_of_different_size_or_too_many_points_can_not_be_matched(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize("points, message", [(np.zeros((0, 3)), "empty"),
                                             (np.array([[0, np.nan, 0], [0, 0, 0]]), "1 of these 2"),
                                             (np.full((2, 3), np.inf), "2 of these 2")])
def test_points_that_are_missing_or_not_finite_are_an_error(points, message):
    for one, other in ((points, cloud(2, 0)), (cloud(2, 0), points)):
        with pytest.raises(DataError, match=message):
            nearest_distances(one, other)
    with pytest.raises(DataError, match=message):
        point_sets.earth_movers_distance(points, points)
