"""Surface distances against concentric spheres, boxes and brute force over all triangles."""

import sys

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.evaluation.surfaces import closest_on_surface, f_score, surface_metrics, vertex_errors


def sphere(radius, subdivisions=5):
    return trimesh.creation.icosphere(subdivisions, radius)


@pytest.fixture(scope="module")
def concentric():
    return surface_metrics(sphere(1.1), sphere(1.0), thresholds=(0.09, 0.11), relative_thresholds=(0.02, 0.04), samples=20_000)


def test_concentric_spheres_are_apart_by_the_difference_of_their_radii(concentric):
    for name in ("accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median", "distance_mean"):
        assert concentric[name] == pytest.approx(0.1, abs=1e-3), name
    assert concentric["chamfer_squared"] == pytest.approx(2 * 0.1**2, rel=0.02)
    assert concentric["distance_mean_relative"] == pytest.approx(0.1 / (2 * 3**0.5), rel=0.01)


def test_the_f_score_flips_at_the_distance_also_relative_to_the_true_diagonal(concentric):
    assert concentric["f_score@0.09"] == concentric["precision@0.09"] == concentric["recall@0.09"] == 0
    assert concentric["f_score@0.11"] == concentric["precision@0.11"] == concentric["recall@0.11"] == 1
    assert concentric["true_diagonal"] == pytest.approx(2 * 3**0.5)  # so 2 % is 0.069 and 4 % is 0.139
    assert concentric["f_score@2%"] == 0 and concentric["f_score@4%"] == 1


def test_concentric_spheres_have_the_same_normals_and_their_own_areas_and_volumes(concentric):
    assert concentric["normal_consistency"] == pytest.approx(1, abs=2e-3)
    assert concentric["area_predicted"] == pytest.approx(4 * np.pi * 1.1**2, rel=2e-3)
    assert concentric["volume_true"] == pytest.approx(4 / 3 * np.pi, rel=4e-3)
    assert concentric["watertight_predicted"] is True and concentric["watertight_true"] is True


def half(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces[mesh.triangles_center[:, 2] > 0], process=False)


def test_a_missing_half_costs_completeness_and_not_accuracy():
    metrics = surface_metrics(half(sphere(1.0)), sphere(1.0), thresholds=(0.01, ), samples=20_000)
    assert metrics["accuracy_mean"] < 1e-6 < 0.2 < metrics["completeness_mean"]
    assert metrics["precision@0.01"] == 1 and metrics["recall@0.01"] == pytest.approx(0.5, abs=0.02)
    assert metrics["watertight_predicted"] is False and np.isnan(metrics["volume_predicted"])


def test_a_mesh_that_repeats_vertices_is_still_seen_to_be_closed():
    box = trimesh.creation.box((1, 2, 3))
    loose = trimesh.Trimesh(box.triangles.reshape(-1, 3), np.arange(36).reshape(-1, 3), process=False)
    metrics = surface_metrics(loose, box, samples=100)
    assert metrics["watertight_predicted"] is True and metrics["volume_predicted"] == pytest.approx(6)


def test_crossed_planes_have_inconsistent_normals():
    flat = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    upright = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 1, 2]], process=False)
    assert surface_metrics(flat, upright, samples=1000)["normal_consistency"] == pytest.approx(0, abs=1e-9)


def test_a_mesh_without_faces_is_an_error():
    with pytest.raises(DataError, match="the predicted mesh has 3 vertices and 0 faces"):
        surface_metrics(trimesh.Trimesh(np.eye(3), process=False), sphere(1.0, 1))


def test_the_same_seed_gives_the_same_figures():
    one, other, third = (surface_metrics(sphere(1.1, 1), sphere(1.0, 2), samples=500, seed=s) for s in (1, 1, 2))
    assert one == other and one != third


def test_closest_points_are_those_of_all_triangles_tried():
    mesh = trimesh.creation.torus(0.5, 0.2, 12, 8)
    points = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    pairs = trimesh.triangles.closest_point(np.tile(mesh.triangles, (len(points), 1, 1)), points.repeat(len(mesh.faces), 0))
    distances = np.linalg.norm(pairs - points.repeat(len(mesh.faces), 0), axis=1).reshape(len(points), -1)
    closest = closest_on_surface(points, mesh)
    assert closest.distance == pytest.approx(distances.min(1), abs=1e-9)
    assert np.linalg.norm(closest.point - points, axis=1) == pytest.approx(closest.distance, abs=1e-9)
    assert distances[np.arange(len(points)), closest.face] == pytest.approx(closest.distance, abs=1e-9)


def test_vertex_errors_are_distances_of_the_predicted_vertices():
    predicted = trimesh.Trimesh([[0, 0, 1.0], [0, 0, -0.7], [0.2, 0, 0.5]], [[0, 1, 2]], process=False)
    assert vertex_errors(predicted, trimesh.creation.box((1, 1, 1))) == pytest.approx([0.5, 0.2, 0.0], abs=1e-12)


def test_the_f_score_is_the_harmonic_mean():
    scores = f_score(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]), 0.5)
    assert scores == pytest.approx({"precision": 0.25, "recall": 0.75, "f_score": 0.375})


def test_without_libigl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "igl", None)
    with pytest.raises(MissingDependencyError, match="pip install libigl"):
        vertex_errors(sphere(1.0, 1), sphere(1.0, 1))


def test_a_closed_mesh_two_of_whose_vertices_meet_is_closed():
    """Merged, edges would belong to four faces."""
    ball = trimesh.creation.icosphere(2)
    neighbours = ball.vertex_neighbors[0]
    other = next(v for v in neighbours[1:] if v not in ball.vertex_neighbors[neighbours[0]])
    vertices = ball.vertices.copy()
    vertices[other] = vertices[neighbours[0]]
    pinched = trimesh.Trimesh(vertices, ball.faces, process=False)
    assert not trimesh.Trimesh(vertices, ball.faces, process=True).is_watertight
    metrics = surface_metrics(pinched, ball, samples=200)
    assert metrics["watertight_predicted"] is True and metrics["volume_predicted"] > 3
