"""Signed-distance samples against exact formulas, libigl's other ways, and real meshes."""

import igl
import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import Mesh
from deep3dmap.geometry.sdf_sampling import Plan, draw_points, sample_sdf, unit_sphere
from tests.geometry.test_closed_meshes import moebius_strip, with_some_faces_turned

PLAN = Plan(count=4000, resolution=100)


def arrays(mesh):
    return np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.int64)


def sampled(mesh, plan=PLAN, **options):
    return sample_sdf(*arrays(mesh), plan, surface_count=500, **options)


def normalised(mesh):
    offset, scale = unit_sphere(*arrays(mesh))
    return trimesh.Trimesh((mesh.vertices + offset) * scale, mesh.faces, process=False)


def box_sdf(points, extents):
    q = np.abs(points) - np.asarray(extents) / 2
    return np.linalg.norm(q.clip(0), axis=1) + q.max(1).clip(max=0)


def torus_sdf(points, major, minor):
    return np.hypot(np.hypot(points[:, 0], points[:, 1]) - major, points[:, 2]) - minor


def ball_without_some_faces(count, radius=0.8):
    ball = trimesh.creation.icosphere(4, radius=radius)
    highest = np.argsort(ball.triangles_center[:, 1])[::-1]
    return trimesh.Trimesh(ball.vertices, ball.faces[highest[count:]], process=False)


def moved_box(extents, x):
    return trimesh.creation.box(extents, trimesh.transformations.translation_matrix([x, 0, 0]))


def test_the_box_around_used_vertices_goes_to_the_middle_and_the_farthest_one_to_the_buffered_radius():
    vertices = np.array([[100.0, 0, 0], [10, 0, 0], [14, 0, 0], [10, 3, 0]])
    offset, scale = unit_sphere(vertices, np.array([[1, 2, 3]]))
    np.testing.assert_allclose(offset, [-12, -1.5, 0])
    assert scale == pytest.approx(1 / (2.5 * 1.03))


@pytest.mark.parametrize("vertices, faces, words", [
    (np.zeros((3, 3)), np.zeros((0, 3), int), "no faces"),
    (np.full((3, 3), 7.0), np.array([[0, 1, 2]]), "no size"),
    (np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]]), np.array([[0, 1, 2]]), "1 of 3 vertices are not finite"),
])  # yapf: disable
def test_a_mesh_that_fits_no_sphere_is_reported(vertices, faces, words):
    with pytest.raises(DataError, match=words):
        unit_sphere(vertices, faces)


def test_points_are_spread_around_the_surface_with_both_variances_and_over_the_cube():
    speck = Mesh(1e-6 * np.eye(3), np.array([[0, 1, 2]]))  # so small that a point is its own noise
    points = draw_points(speck, Plan(count=200_000), torch.Generator().manual_seed(0))
    assert points.shape == (200_000, 3) and np.abs(points).max() <= 1
    assert (np.abs(points).max(1) > 0.5).mean() == pytest.approx(0.06 * (1 - 1 / 8), abs=0.002)
    second, fourth = 0.47 * (0.005 + 0.0005) + 0.06 / 3, 0.47 * 3 * (0.005**2 + 0.0005**2) + 0.06 / 5
    assert (points**2).mean() == pytest.approx(second, rel=0.01)
    assert (points**4).mean() == pytest.approx(fourth, rel=0.02)


def test_the_seed_decides_the_samples():
    ball = trimesh.creation.icosphere(2, radius=0.9)
    first, again, other = (sampled(ball, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.surface, again.surface)
    assert not np.array_equal(first.points, other.points)


def test_samples_of_a_box_have_the_formulas_distances():
    extents = (1.0, 0.7, 0.4)
    found = sampled(trimesh.creation.box(extents))
    assert found.figures["method"] == "winding" and found.figures["dropped"] < 0.01
    np.testing.assert_allclose(found.sdf, box_sdf(found.points, extents), atol=1e-9)


def test_samples_of_a_torus_have_the_formulas_distances_up_to_its_facets():
    found = sampled(trimesh.creation.torus(0.6, 0.25, major_sections=160, minor_sections=80))
    np.testing.assert_allclose(found.sdf, torus_sdf(found.points, 0.6, 0.25), atol=5e-4)


def test_samples_agree_with_the_sign_by_pseudonormals_on_a_real_mesh(real_data):
    mesh = normalised(trimesh.load_mesh(real_data / "meshes" / "spot" / "spot.obj", process=False))
    found = sampled(mesh)
    expected = igl.signed_distance(found.points, *arrays(mesh), igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)[0]
    np.testing.assert_allclose(np.abs(found.sdf), np.abs(expected), atol=1e-9)
    np.testing.assert_array_equal(found.sdf < 0, expected < 0)


def test_a_surface_turned_inside_out_gives_the_same_samples():
    box = trimesh.creation.box((1.0, 0.7, 0.4))
    inward = trimesh.Trimesh(box.vertices, box.faces[:, ::-1], process=False)
    found = sampled(inward)
    assert found.figures["inward"]
    np.testing.assert_allclose(found.sdf, box_sdf(found.points, (1.0, 0.7, 0.4)), atol=1e-9)


def test_faces_that_disagree_are_fixed():
    box = with_some_faces_turned(Mesh(*arrays(trimesh.creation.box((1.0, 0.7, 0.4)).subdivide())))
    found = sample_sdf(*box, PLAN, 100)
    assert found.figures["method"] == "winding"
    np.testing.assert_allclose(found.sdf, box_sdf(found.points, (1.0, 0.7, 0.4)), atol=1e-9)


def test_a_cavity_is_outside():
    outer, inner = trimesh.creation.box((1.2, 1.2, 1.2)), trimesh.creation.box((0.6, 0.6, 0.6))
    inner.invert()
    found = sampled(trimesh.util.concatenate([outer, inner]))
    expected = np.maximum(box_sdf(found.points, (1.2, 1.2, 1.2)), -box_sdf(found.points, (0.6, 0.6, 0.6)))
    assert found.figures["method"] == "winding"
    np.testing.assert_array_equal(found.sdf < 0, expected < 0)
    inside = expected < 0  # outside, the larger of two distances is a bound only
    np.testing.assert_allclose(found.sdf[inside], expected[inside], atol=1e-9)


def test_boxes_that_overlap_are_sampled_as_one_solid_without_walls_inside():
    both = trimesh.util.concatenate([moved_box((0.9, 0.7, 0.4), x) for x in (-0.2, 0.2)])  # together 1.3 long
    found = sampled(both, Plan(count=8000, resolution=200))
    expected = box_sdf(found.points, (1.3, 0.7, 0.4))
    assert found.figures["method"] == "visibility" and found.figures["dropped"] < 0.1
    assert ((found.sdf < 0) == (expected < 0)).all()
    assert np.quantile(np.abs(found.sdf - expected), 0.99) < 0.002
    hidden = (np.abs(np.abs(found.points[:, 0]) - 0.25) < 0.02) & (expected < -0.05)
    assert hidden.sum() > 20 and (found.sdf[hidden] < -0.045).all()


def test_a_ball_with_a_hole_is_reported_by_what_is_visible():
    found = sampled(ball_without_some_faces(1), Plan(count=4000, resolution=200))
    expected = np.linalg.norm(found.points, axis=1) - 0.8
    away = np.linalg.norm(found.points - [0, 0.8, 0], axis=1) > 0.2
    assert found.figures["method"] == "visibility" and found.figures["open_edges"] == 3
    np.testing.assert_allclose(found.sdf[away], expected[away], atol=0.004)
    assert found.figures["dropped"] < 0.1


def test_where_what_is_visible_contradicts_itself_the_winding_number_of_an_almost_closed_mesh_decides():
    found = sampled(ball_without_some_faces(12), Plan(count=4000, resolution=200))
    assert found.figures["method"] == "winding" and found.figures["wrong_triangles"] > 0.03
    expected = np.linalg.norm(found.points, axis=1) - 0.8
    away = np.linalg.norm(found.points - [0, 0.8, 0], axis=1) > 0.3
    np.testing.assert_allclose(found.sdf[away], expected[away], atol=0.002)


def test_points_of_the_surface_lie_on_it():
    found = sampled(trimesh.creation.box((1.0, 0.7, 0.4)))
    assert found.surface.shape == (500, 3)
    np.testing.assert_allclose(box_sdf(found.surface, (1.0, 0.7, 0.4)), 0, atol=1e-9)


def test_points_of_the_surface_are_those_that_can_be_seen():
    both = trimesh.util.concatenate([moved_box((0.9, 0.7, 0.4), x) for x in (-0.2, 0.2)])
    found = sampled(both, Plan(count=2000, resolution=200))
    assert len(found.surface) == 500
    np.testing.assert_allclose(box_sdf(found.surface, (1.3, 0.7, 0.4)), 0, atol=0.01)  # twice the cameras' ray spacing


def half_a_ball():
    ball = trimesh.creation.icosphere(3, radius=0.9)
    return trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 1] > 0], process=False)


SHEET = trimesh.Trimesh([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0, 0, 0.5]], [[0, 1, 2]])


@pytest.mark.parametrize("mesh", [half_a_ball(), trimesh.Trimesh(*moebius_strip(), process=False), SHEET])
def test_a_surface_without_an_inside_is_rejected_with_figures(mesh):
    message = r"can't be distinguished.*open at \d+ edges.*triangles are seen from both sides.*inding"
    with pytest.raises(DataError, match=message):
        sampled(mesh)


@pytest.mark.parametrize("last, faces", [([0, 0.5, 0], [[0, 0, 1], [1, 2, 2]]), ([0.25, 0, 0], [[0, 1, 2]])])
def test_meshes_on_a_line_or_of_faces_without_three_places_are_rejected(last, faces):
    with pytest.raises(DataError, match="no area"):
        sample_sdf(np.array([[0.0, 0, 0], [0.5, 0, 0], last]), np.array(faces), PLAN)


def test_the_bunny_is_sampled_though_it_has_holes(real_data):
    mesh = normalised(trimesh.load_mesh(real_data / "meshes" / "stanford-bunny.ply", process=False))
    found = sampled(mesh)
    assert found.figures["open_edges"] == 223 and found.figures["dropped"] < 0.02
    exact = igl.winding_number(*arrays(mesh), found.points[::20])
    assert ((exact > 0.5) == (found.sdf[::20] < 0)).all()


def test_suzanne_is_sampled_by_what_is_visible(real_data):
    mesh = normalised(trimesh.load_mesh(real_data / "meshes" / "suzanne.ply", process=False))
    found = sampled(mesh, Plan(count=4000))
    clear = np.abs(igl.winding_number(*arrays(mesh), found.points) - 0.5)
    assert found.figures["method"] == "visibility" and found.figures["dropped"] < 0.05
    inside = igl.winding_number(*arrays(mesh), found.points) > 0.5
    assert (inside == (found.sdf < 0))[clear > 0.3].mean() > 0.999


def test_so_few_samples_that_all_lie_inside_are_refused():
    mesh = trimesh.creation.icosphere(2)
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        points = draw_points(Mesh(np.asarray(mesh.vertices), np.asarray(mesh.faces)), Plan(count=1), generator)
        if np.linalg.norm(points) < 0.8:
            break
    with pytest.raises(DataError, match="none of the 1 samples lies outside"):
        sample_sdf(np.asarray(mesh.vertices), np.asarray(mesh.faces), Plan(count=1), 10, seed)
