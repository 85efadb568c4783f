"""What cameras all around see of a mesh, against shapes of which that is known."""

import igl
import numpy as np
import pytest
import trimesh

from deep3dmap.geometry.closed_meshes import Mesh
from deep3dmap.geometry.visible_surface import sphere_points, visible_surface


def mesh_of(mesh):
    return Mesh(np.array(mesh.vertices, np.float64), np.array(mesh.faces, np.int64))


@pytest.fixture(scope="module")
def ball():
    return mesh_of(trimesh.creation.icosphere(3, radius=0.9))


def test_cameras_are_spread_evenly_over_the_sphere():
    points = sphere_points(100)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    nearest = np.sort(np.linalg.norm(points[:, None] - points, axis=-1), 1)[:, 1]
    assert nearest.min() > 0.75 * (4 * np.pi / 100)**0.5  # of the distance in a square lattice of as many points


def test_visible_points_of_a_ball_lie_on_it_with_normals_outward_however_its_faces_are_turned(ball):
    for mesh in (ball, Mesh(ball.vertices, ball.faces[:, ::-1].copy())):
        seen = visible_surface(mesh, 40)
        radius = np.linalg.norm(seen.points, axis=1)
        assert seen.seen.all() and seen.wrong_observations == seen.wrong_triangles == 0
        assert 0.885 < radius.min() and radius.max() < 0.9 + 1e-6
        assert ((seen.points * seen.normals).sum(1) / radius > 0.99).all()


def test_visible_points_lie_in_the_planes_of_their_triangles(ball):
    seen = visible_surface(ball, 40)
    squared, face, _ = igl.point_mesh_squared_distance(seen.points, *ball)
    assert squared.max() < 1e-12
    inner = np.abs(igl.signed_distance(seen.points, *ball)[0]) < 1e-9
    np.testing.assert_allclose(trimesh.Trimesh(*ball, process=False).face_normals[face[inner]], seen.normals[inner], atol=1e-9)


def test_what_lies_inside_is_not_seen(ball):
    inner = len(ball.vertices)
    both = Mesh(np.concatenate([ball.vertices, 0.5 * ball.vertices]), np.concatenate([ball.faces, ball.faces + inner]))
    np.testing.assert_array_equal(visible_surface(both, 40).seen, np.arange(len(both.faces)) < len(ball.faces))


def test_a_single_triangle_is_wrong_and_so_is_all_that_is_seen_after_its_first_side():
    flat = Mesh(np.array([[0.9, 0, 0], [-0.5, 0, 0.7], [-0.5, 0, -0.7]]), np.array([[0, 1, 2]]))
    seen = visible_surface(flat, 60)  # cameras come from below to above; half of them see each side
    assert seen.wrong_triangles == 1
    assert seen.wrong_observations == pytest.approx(0.5, abs=0.01)


def test_a_contradiction_counts_the_triangles_that_have_two_sides_only(ball):
    flag = np.array([[0.9, 0, 0], [0.99, 0.02, 0], [0.99, -0.02, 0]])
    mesh = Mesh(np.concatenate([ball.vertices, flag]), np.concatenate([ball.faces, len(ball.vertices) + np.arange(3)[None]]))
    assert visible_surface(mesh, 100).wrong_triangles == pytest.approx(1 / len(mesh.faces))


def test_nothing_is_seen_of_a_mesh_that_only_grazing_rays_could_meet():
    sliver = Mesh(np.array([[0.0, 0, 0], [1e-9, 0, 0], [0, 1e-9, 0]]), np.array([[0, 1, 2]]))
    seen = visible_surface(sliver, 10, views=4)
    assert seen.points.shape == (0, 3) and seen.wrong_observations == 0
