"""Cleaning and orienting meshes, winding numbers and distances, against counted shapes and exact formulas."""

import igl
import numpy as np
import pytest
import trimesh

from deep3dmap.geometry.closed_meshes import (
    Mesh,
    clean_mesh,
    open_edges,
    orient_consistently,
    spatial_order,
    surface_distances,
    winding_numbers,
)


def arrays(mesh):
    return np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.int64)


def mesh_of(mesh):
    return Mesh(*arrays(mesh))


def with_some_faces_turned(mesh, seed=0):
    faces = mesh.faces.copy()
    turned = np.random.default_rng(seed).random(len(faces)) < 0.4
    faces[turned] = faces[turned, ::-1]
    return Mesh(mesh.vertices, faces)


def moebius_strip(n=24):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    rim = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    across = 0.3 * np.stack([np.cos(angle / 2) * np.cos(angle), np.cos(angle / 2) * np.sin(angle), np.sin(angle / 2)], -1)
    i = np.arange(n)
    right, left = np.where(i + 1 < n, i + 1, n), np.where(i + 1 < n, n + i + 1, 0)
    right[-1] = n  # the strip's end meets its beginning upside down
    faces = np.concatenate([np.stack([i, right, n + i], -1), np.stack([right, left, n + i], -1)])
    return Mesh(np.concatenate([rim + across, rim - across]), faces)


@pytest.fixture
def box():
    return mesh_of(trimesh.creation.box((1.0, 0.8, 0.6)))


@pytest.fixture
def ball():
    return mesh_of(trimesh.creation.icosphere(3))


def test_a_soup_of_triangles_becomes_one_closed_surface(box):
    soup = Mesh(box.vertices[box.faces].reshape(-1, 3), np.arange(36).reshape(-1, 3))
    cleaned = clean_mesh(*soup)
    assert open_edges(soup.faces) == 36 and open_edges(cleaned.faces) == 0
    assert len(cleaned.vertices) == 8 and len(cleaned.faces) == 12


def test_faces_without_three_corners_repeated_faces_and_unused_vertices_are_dropped(box):
    v, f = box
    cleaned = clean_mesh(np.concatenate([v, [[9.0, 9, 9]]]), np.concatenate([f, f[:2], f[:1, ::-1], [[1, 1, 2]]]))
    assert len(cleaned.vertices) == 8 and len(cleaned.faces) == 12 and open_edges(cleaned.faces) == 0


def test_open_edges_count_what_borders_a_hole_and_what_neighbours_disagree_on(box):
    turned = box.faces.copy()
    turned[0] = turned[0, ::-1]
    assert [open_edges(faces) for faces in (box.faces, box.faces[1:], turned)] == [0, 3, 3]


def test_two_boxes_that_share_an_edge_are_closed(box):
    other = box.vertices + np.array([1.0, 0.8, 0])
    joined = clean_mesh(np.concatenate([box.vertices, other]), np.concatenate([box.faces, box.faces + 8]))
    assert len(joined.vertices) == 14 and open_edges(joined.faces) == 0


def test_faces_that_disagree_are_turned_outward(ball):
    mended = orient_consistently(with_some_faces_turned(ball))
    assert open_edges(mended.faces) == 0
    assert trimesh.Trimesh(*mended, process=False).volume == pytest.approx(trimesh.Trimesh(*ball, process=False).volume)


def test_a_consistent_orientation_is_unchanged_be_it_inward(ball):
    inward = Mesh(ball.vertices, ball.faces[:, ::-1].copy())
    np.testing.assert_array_equal(orient_consistently(inward).faces, inward.faces)


def test_an_open_mesh_whose_faces_disagree_is_unchanged(ball):
    broken = with_some_faces_turned(Mesh(ball.vertices, ball.faces[10:]))
    np.testing.assert_array_equal(orient_consistently(broken).faces, broken.faces)


def test_a_surface_with_one_side_only_stays_open():
    strip = moebius_strip()
    assert open_edges(orient_consistently(strip).faces) > 0


def test_winding_numbers_are_one_inside_a_ball_and_zero_outside(ball):
    directions = np.random.default_rng(0).normal(size=(200, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    np.testing.assert_allclose(winding_numbers(ball, 0.9 * directions), 1, atol=0.02)
    np.testing.assert_allclose(winding_numbers(ball, 1.1 * directions), 0, atol=0.02)


def test_winding_numbers_of_an_open_mesh_agree_with_the_sum_over_all_triangles(ball):
    mesh, points = Mesh(ball.vertices, ball.faces[40:]), np.random.default_rng(0).uniform(-1.2, 1.2, (500, 3))
    np.testing.assert_allclose(winding_numbers(mesh, points), igl.winding_number(*mesh, points), atol=0.03)


def test_distances_to_a_box_are_those_of_the_formula(box):
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 3))
    q = np.abs(points) - np.array([0.5, 0.4, 0.3])
    expected = np.abs(np.linalg.norm(q.clip(0), axis=1) + q.max(1).clip(max=0))
    np.testing.assert_allclose(surface_distances(box, points), expected, atol=1e-12)


def test_triangles_without_area_give_distances_to_their_edges():
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0.5, 0, 0], [0, 0, 0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [0, 3, 0]]))
    np.testing.assert_allclose(surface_distances(mesh, np.array([[0.3, 0.4, 0], [2, 0, 0]])), [0.4, 1.0], atol=1e-9)


def test_points_that_follow_each_other_in_the_spatial_order_are_near():
    points = np.random.default_rng(0).uniform(-1, 1, (5000, 3))
    order = spatial_order(points)
    np.testing.assert_array_equal(np.sort(order), np.arange(5000))
    steps = np.linalg.norm(np.diff(points[order], axis=0), axis=1)
    assert steps.mean() < 0.25 * np.linalg.norm(np.diff(points, axis=0), axis=1).mean()
