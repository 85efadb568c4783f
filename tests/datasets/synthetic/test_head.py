import numpy as np
import pytest
import torch

from deep3dmap.datasets.synthetic import head_color, head_mesh, head_sdf


@pytest.fixture(scope="module")
def mesh():
    return head_mesh(96)


def test_the_head_is_one_closed_solid(mesh):
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert mesh.euler_number == 2


def test_the_head_has_the_size_of_a_head_away_from_the_origin(mesh):
    height = mesh.extents[1]
    assert 0.25 < height < 0.35
    assert 0.003 < mesh.volume < 0.008
    assert np.linalg.norm(mesh.bounds.mean(0)) > 2 * height


def test_the_heads_vertices_lie_on_the_zero_set(mesh):
    assert head_sdf(torch.tensor(mesh.vertices)).abs().max() < 1e-5


def test_the_heads_normals_point_to_where_the_sdf_grows(mesh):
    centers, normals = torch.tensor(mesh.triangles_center), torch.tensor(mesh.face_normals)
    outside, inside = head_sdf(centers + 2e-3 * normals), head_sdf(centers - 2e-3 * normals)
    assert (outside > inside).double().mean() > 0.995


def test_the_sdf_is_close_to_the_distance_near_the_surface(mesh):
    points = torch.tensor(mesh.vertices[::7]).requires_grad_()
    gradient, = torch.autograd.grad(head_sdf(points).sum(), points)
    slope = gradient.norm(dim=-1)
    assert 0.9 < slope.median() < 1.1
    assert ((slope > 0.5) & (slope < 1.6)).double().mean() > 0.97


def test_points_far_outside_and_deep_inside_have_their_signs(mesh):
    low, high = (torch.tensor(b) for b in mesh.bounds)
    corners = torch.stack(torch.meshgrid(*torch.stack([low, high], 1), indexing="ij"), -1).view(-1, 3)
    assert (head_sdf(corners) > 0).all()
    assert head_sdf(torch.tensor(mesh.center_mass)[None]).item() < -0.03


def test_colours_are_in_range_and_tell_parts_apart(mesh):
    points = torch.tensor(mesh.vertices)
    colors = head_color(points)
    assert colors.min() >= 0 and colors.max() <= 1
    top, face = points[:, 1] > points[:, 1].max() - 0.03, points[:, 2] > points[:, 2].max() - 0.02
    assert colors[top].mean() < 0.6 * colors[face].mean()
    assert (colors[face, 0] > colors[face, 2]).all()


def test_vertex_colours_of_the_mesh_are_those_of_its_points(mesh):
    expected = head_color(torch.tensor(mesh.vertices)).numpy()
    assert np.abs(mesh.visual.vertex_colors[:, :3] / 255 - expected).max() < 0.5 / 255 + 1e-9


def test_changing_a_returned_mesh_leaves_the_next_one_alone(mesh):
    before = head_mesh(96).vertices.copy()
    head_mesh(96).apply_scale(2.0)
    assert np.array_equal(head_mesh(96).vertices, before)
