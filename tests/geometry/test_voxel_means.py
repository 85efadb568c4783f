"""Thinned point clouds: the reference's points, and clouds whose voxels are known."""

import numpy as np
import pytest

from deep3dmap.geometry.voxel_means import voxel_means
from tests.goldens import cases


def ordered(points):
    return points[np.lexsort(points.T[::-1])]


@pytest.mark.parametrize("case", cases("neuralrecon/evaluation", r"(\w+_down\d+)_sorted"))
def test_the_points_are_those_of_open3d(goldens, case):
    golden, (name, percent) = goldens("neuralrecon/evaluation"), case.split("_down")
    thinned, expected = voxel_means(golden[name], int(percent) / 100), golden[f"{case}_sorted"]
    assert len(thinned) == len(expected)
    assert ordered(thinned) == pytest.approx(ordered(expected), abs=1e-6)


def test_points_of_one_voxel_become_their_mean():
    points = np.array([[0.0, 0, 0], [0.4, 0, 0.2], [0.9, 0, 0], [1.1, 0, 0]])  # voxels start at -0.5
    assert voxel_means(points, 1.0) == pytest.approx(np.array([[0.2, 0, 0.1], [1.0, 0, 0]]))


def test_no_points_stay_none():
    assert voxel_means(np.zeros((0, 3)), 0.02).shape == (0, 3)
