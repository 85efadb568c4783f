"""Figures of shapes against spheres, planes, trimesh's own proximity queries, and points counted by hand."""

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.evaluation.shapes import UNITS, shape_metrics
from deep3dmap.evaluation.surfaces import draw_points, surface_metrics
from tests.goldens import cases


def sphere(radius, subdivisions=4):
    return trimesh.creation.icosphere(subdivisions, radius)


def plane(height, half=1.0):
    corners = [[-half, -half, height], [half, -half, height], [half, half, height], [-half, half, height]]
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


@pytest.fixture(scope="module")
def concentric():
    return shape_metrics(sphere(1.1), sphere(1.0), completion_distance=0.11, samples=10_000)


def test_concentric_spheres_are_apart_by_the_difference_of_their_radii(concentric):
    assert concentric["mesh_accuracy"] == pytest.approx(0.1, abs=3e-3)
    assert concentric["point_chamfer_squared"] == pytest.approx(2 * 0.1**2, rel=0.06)  # points are a bit farther than surfaces
    assert concentric["point_chamfer_squared"] > concentric["chamfer_squared"]
    assert concentric["point_distance_mean"] == pytest.approx(0.1, rel=0.03)
    assert concentric["mesh_cosine_similarity"] == pytest.approx(1, abs=3e-3)
    assert concentric["mesh_completion@0.11"] == 1


def test_matching_spheres_costs_at_least_the_way_between_them(concentric):
    assert 0.1 < concentric["emd"] < 0.25


def test_the_figures_of_surfaces_are_the_same_as_without_the_others():
    alone = surface_metrics(sphere(1.1, 2), plane(0.0), samples=5000, seed=1)
    together = shape_metrics(sphere(1.1, 2), plane(0.0), samples=5000, seed=1, emd_samples=0)
    for key, value in alone.items():
        assert together[key] == pytest.approx(value, rel=0.05, abs=0.005,
                                              nan_ok=True), key  # the true points are drawn by another seed
    assert "emd" not in together


def test_completion_is_the_share_of_the_true_surface_that_was_made():
    half = shape_metrics(plane(0.005, 0.5), plane(0.0), completion_distance=0.01, samples=20_000)
    assert half["mesh_completion@0.01"] == pytest.approx(1 / 4, abs=0.015)  # and a rim of 0.009 around it
    assert half["mesh_accuracy"] == pytest.approx(0.005, abs=1e-9)
    assert shape_metrics(plane(0.02), plane(0.0), samples=500)["mesh_completion@0.01"] == 0


def test_accuracy_is_the_distance_that_holds_for_nine_points_of_ten():
    tilted = trimesh.Trimesh([[0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    below = plane(0.0, 5.0)
    figures = shape_metrics(tilted, below, samples=20_000)  # heights above the plane are uniform in [0, 1]
    assert figures["mesh_accuracy"] == pytest.approx(0.9, abs=0.01)


def test_cosine_similarity_is_that_of_the_angle_and_blind_to_flips():
    angle = np.radians(30)
    turn = trimesh.transformations.rotation_matrix(angle, [1, 0, 0])
    tilted = plane(0.0, 50.0).apply_transform(turn)
    flipped = trimesh.Trimesh(tilted.vertices, tilted.faces[:, ::-1], process=False)
    for mesh in (tilted, flipped):
        assert shape_metrics(mesh, plane(0.0), samples=300)["mesh_cosine_similarity"] == pytest.approx(np.cos(angle))


def test_accuracy_and_completion_are_those_of_trimeshs_proximity_queries():
    predicted, true = trimesh.creation.torus(0.6, 0.2, 12, 8), trimesh.creation.box((1.3, 1.2, 0.5))
    figures = shape_metrics(predicted, true, completion_distance=0.1, samples=150, seed=3)
    drawn, drawn_true = draw_points(predicted, 150, 3), draw_points(true, 150, 4)
    _, accuracy, _ = trimesh.proximity.closest_point_naive(true, drawn.points)
    _, completeness, _ = trimesh.proximity.closest_point_naive(predicted, drawn_true.points)
    assert figures["mesh_accuracy"] == pytest.approx(np.sort(accuracy)[134])  # 135 of 150 are as near or nearer
    assert figures["mesh_completion@0.1"] == pytest.approx((completeness < 0.1).mean())


def test_cosine_similarity_is_that_of_the_nearest_of_all_triangles_tried():
    predicted, true = trimesh.creation.torus(0.6, 0.2, 40, 24), trimesh.creation.box((1.3, 1.2, 0.5))
    drawn = draw_points(true, 150, 4)
    every = np.tile(predicted.triangles, (150, 1, 1)), drawn.points.repeat(len(predicted.faces), 0)
    distances = np.linalg.norm(trimesh.triangles.closest_point(*every) - every[1], axis=1).reshape(150, -1)
    nearest = distances < distances.min(1, keepdims=True) + 1e-9  # several, where a point is nearest to an edge of the mesh
    cosines = np.abs(drawn.normals @ predicted.face_normals.T)
    least, most = (np.where(nearest, cosines, empty) for empty in (np.inf, -np.inf))
    cosine = shape_metrics(predicted, true, samples=150, seed=3)["mesh_cosine_similarity"]
    assert least.min(1).mean() - 1e-9 <= cosine <= most.max(1).mean() + 1e-9 and most.max(1).mean() - least.min(1).mean() < 0.1


def test_a_mesh_compared_with_itself_is_as_far_as_its_draws():
    figures = shape_metrics(sphere(1.0, 3), sphere(1.0, 3), samples=2000)
    assert figures["mesh_accuracy"] < 1e-7 and figures["mesh_completion@0.01"] == 1
    expected = 2 / (np.pi * 2000 /
                    (4 * np.pi))  # mean squared distance to the nearest of n random points of an area A: A/(pi n)
    assert figures["point_chamfer_squared"] == pytest.approx(expected, rel=0.1)


def test_lengths_are_measured_after_the_scale():
    one = shape_metrics(sphere(1.1, 3), sphere(1.0, 3), samples=2000, completion_distance=0.4, thresholds=(0.45, ))
    three = shape_metrics(sphere(1.1, 3), sphere(1.0, 3), scale=3.0, samples=2000, completion_distance=0.2,
                          thresholds=(0.45, ))  # yapf: disable
    for key, power in {"mesh_accuracy": 1, "emd": 1, "point_distance_mean": 1, "point_chamfer_squared": 2, "true_diagonal": 1,
                       "volume_true": 3, "mesh_cosine_similarity": 0}.items():  # yapf: disable
        assert three[key] == pytest.approx(one[key] * 3**power), key
    assert three["mesh_completion@0.2"] == 0 and one["mesh_completion@0.4"] == 1
    assert three["f_score@0.45"] == one["f_score@0.45"] == 1


def test_true_points_give_the_figures_that_need_no_true_faces():
    points = draw_points(sphere(1.0), 5000, 9).points
    figures = shape_metrics(sphere(1.1), points, completion_distance=0.11, samples=5000)
    assert set(figures) == {
        "completeness_mean", "completeness_median", "mesh_completion@0.11", "point_chamfer_squared", "point_distance_mean",
        "emd"
    }
    assert figures["completeness_mean"] == pytest.approx(0.1, abs=3e-3) and figures["mesh_completion@0.11"] == 1
    assert figures["point_chamfer_squared"] == pytest.approx(2 * 0.1**2, rel=0.12)


def test_a_meshs_squared_chamfer_distance_to_points_match_the_references(goldens):
    golden = goldens("deepsdf/chamfer")
    mesh = trimesh.Trimesh(golden["mesh/vertices"], golden["mesh/faces"], process=False)
    points = golden["mesh/gt_points"].astype(np.float64)
    seeds, samples = (int(n) for n in cases("deepsdf/chamfer", r"mesh/chamfer_(\d+_seeds_\d+)_samples")[0].split("_seeds_"))
    mine = [shape_metrics(mesh, points, emd_samples=0, samples=samples, seed=k)["point_chamfer_squared"] for k in range(seeds)]
    assert np.mean(mine) == pytest.approx(golden[f"mesh/chamfer_{seeds}_seeds_{samples}_samples"].mean(), abs=1e-5)


def test_true_points_in_an_order_are_chosen_from_fairly():
    points = draw_points(sphere(1.0), 4000, 9).points
    points = points[np.argsort(points[:, 2])]  # the first of them are all at the bottom
    assert shape_metrics(sphere(1.0), points, samples=4000, emd_samples=300)["emd"] < 0.25


def test_fewer_true_points_reduce_those_that_are_matched():
    points = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    assert shape_metrics(sphere(1.0, 2), points, samples=50)["emd"] <= 2.0


def test_the_same_seed_gives_the_same_figures():
    one, other, third = (shape_metrics(sphere(1.1, 1), sphere(1.0, 2), samples=300, emd_samples=50, seed=s) for s in (1, 1, 2))
    assert one == other and one != third


def test_every_figure_has_its_unit():
    named = {name for key in UNITS for name in key.split(", ")}
    for key in shape_metrics(sphere(1.1, 1), sphere(1.0, 1), samples=100, emd_samples=10, thresholds=(0.1, )):
        base = key.split("@")[0]
        assert any(base == name or base.startswith(f"{name}_") for name in named) or base.startswith("watertight"), key


EMPTY = trimesh.Trimesh(np.eye(3), process=False)


@pytest.mark.parametrize("predicted, true, scale, message", [
    *((sphere(1.0, 1), sphere(1.0, 1), scale, "positive") for scale in (0.0, -1.0, np.nan, np.inf)),
    (sphere(1.0, 1), np.array([[0, 0, 1.0], [0, np.inf, 0], [1, 0, 0]]), 1.0, "1 of these 3"),
    (EMPTY, sphere(1.0, 1), 1.0, "the predicted mesh has 3 vertices and 0 faces"),
    (sphere(1.0, 1), EMPTY, 1.0, "the true mesh has 3 vertices and 0 faces"),
])
def test_shapes_and_scales_that_can_not_be_measured_are_errors(predicted, true, scale, message):
    with pytest.raises(DataError, match=message):
        shape_metrics(predicted, true, scale=scale, samples=10)
