"""Normals of points and depth maps, against spheres and planes."""

import numpy as np
import pytest

from deep3dmap.geometry.point_normals import depth_points, estimate_normals, grid_normals, orient_towards

K = np.array([[90.0, 0.0, 30.0], [0.0, 80.0, 25.0], [0.0, 0.0, 1.0]])


def sphere(count: int = 4000) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def depth_of_ball(size=(50, 60), distance: float = 3.0, radius: float = 0.8) -> np.ndarray:
    """Depth at which each pixel's ray meets a ball on the optical axis; 0 where it misses."""
    v, u = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5, indexing="ij")
    ray = np.stack([(u - 30) / 90, (v - 25) / 80, np.ones_like(u)], -1)
    a, c = (ray**2).sum(-1), distance**2 - radius**2
    discriminant = distance**2 - a * c
    return np.where(discriminant > 0, (distance - np.sqrt(np.maximum(discriminant, 0))) / a, 0.0)


def test_normals_of_a_sphere_are_its_radii():
    points = sphere()
    cosine = np.abs((estimate_normals(points) * points).sum(1))
    assert cosine.min() > 0.98 and cosine.mean() > 0.999


def test_normals_of_a_plane_are_exact_and_unit():
    normal = np.array([2.0, -1.0, 2.0]) / 3
    axes = np.linalg.svd(normal[None])[2][1:]
    points = np.random.default_rng(1).uniform(-1, 1, (200, 2)) @ axes + 5 * normal
    found = estimate_normals(points)
    np.testing.assert_allclose(np.abs(found @ normal), 1, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-9)


def test_normals_turn_towards_the_viewpoint():
    points = sphere()
    points = points[points[:, 2] > 0.4]
    seen = orient_towards(points, estimate_normals(points), np.array([0.0, 0.0, 3.0]))
    assert ((seen * points).sum(1) > 0.9).all()
    assert ((orient_towards(points, seen, np.zeros(3)) * points).sum(1) < -0.9).all()


@pytest.mark.parametrize("points, message", [(np.eye(3)[:2], "at least 3"),
                                             (np.outer(np.arange(9.0), np.ones(3)), "on a line"),
                                             (np.ones((5, 3)), "5 of 5 points lie on a line"),
                                             (np.full((5, 3), np.nan), "points: must be finite, 5 of 5")])
def test_points_without_a_plane_have_no_normal(points, message):
    with pytest.raises(ValueError, match=message):
        estimate_normals(points)


def test_points_of_a_depth_map_lie_on_the_ball_that_it_shows():
    depth = depth_of_ball()
    points = depth_points(depth, K)[depth > 0]
    np.testing.assert_allclose(np.linalg.norm(points - [0, 0, 3], axis=1), 0.8, atol=1e-12)


def test_normals_of_a_depth_map_are_the_balls_and_face_the_camera():
    depth = depth_of_ball()
    points = depth_points(depth, K)
    normals, known = grid_normals(points, depth > 0)
    assert known.sum() > 0.6 * (depth > 0).sum()
    true = (points[known] - [0, 0, 3]) / 0.8
    assert ((normals[known] * true).sum(1) > 0.97).all()
    assert ((normals * points).sum(-1)[known] < 0).all() and (normals[~known] == 0).all()


def test_the_edge_between_two_depths_has_no_normals():
    depth = np.ones((12, 20))
    depth[:, 10:] = 3.0
    points = depth_points(depth, K)
    normals, known = grid_normals(points, np.ones((12, 20), bool))
    assert not known[:, 9:11].any() and known[1:-1, 1:9].all() and known[1:-1, 11:-1].all()
    np.testing.assert_allclose(normals[known], np.broadcast_to([0.0, 0.0, -1.0], normals[known].shape), atol=1e-9)


def test_pixels_beside_a_hole_have_no_normals():
    depth = np.ones((9, 9))
    seen = np.ones((9, 9), bool)
    seen[4, 4] = False
    known = grid_normals(depth_points(depth, K), seen)[1]
    assert not known[4, 3:6].any() and not known[3:6, 4].any() and known[3, 3]
