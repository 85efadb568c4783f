"""Edges, normals, Laplacians and smoothing of meshes, against the fixture and against what is known of simple shapes."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.mesh_operators import (
    bend_cosines,
    cotangent_weights,
    edge_lengths,
    face_normals,
    face_pairs,
    inverse_length_weights,
    taubin_smoothing,
    uniform_weights,
    vertex_areas,
    vertex_normals,
)
from deep3dmap.geometry.triangles import face_areas, unique_edges
from tests.goldens import cases, read, tensor

OPERATORS, LOSSES = "render/mesh_ops", "render/mesh_losses"
MESHES = cases(OPERATORS, "(.+)_verts_normals")


def mesh_of(golden, vertices, faces):
    return tensor(golden[vertices]), tensor(golden[faces]).long()


def near(actual, expected, **tolerances):
    torch.testing.assert_close(actual, tensor(expected), **({"atol": 1e-6, "rtol": 1e-5} | tolerances))


@pytest.mark.parametrize("name", MESHES)
def test_normals_areas_and_edges_match_the_references(name):
    golden = read(OPERATORS)
    vertices, faces = mesh_of(golden, f"{name}_verts", f"{name}_faces")
    normals = vertex_normals(vertices.requires_grad_(), faces)
    near(normals, golden[f"{name}_verts_normals"])
    near(face_normals(vertices, faces), golden[f"{name}_faces_normals"])
    near(face_areas(vertices, faces), golden[f"{name}_faces_areas"])
    assert torch.equal(unique_edges(faces).vertices, tensor(golden[f"{name}_edges"]).long())
    (normals * tensor(golden[f"{name}_upstream"])).sum().backward()
    near(vertices.grad, golden[f"{name}_grad_verts"], atol=1e-5)


def test_laplacians_match_the_references():
    golden = read(LOSSES)
    vertices, faces = mesh_of(golden, "verts0", "faces0")
    vector, edges = tensor(golden["lap_vec"]), unique_edges(faces).vertices
    assert torch.equal(edges, tensor(golden["lap_edges"]).long())
    near(uniform_weights(vertices, faces).offsets(vector), golden["lap_uniform_times_vec"])
    near(cotangent_weights(vertices, faces).times(vector), golden["lap_cot_times_vec"], atol=1e-4)
    near(inverse_length_weights(vertices, edges).times(vector), golden["lap_norm_times_vec"], atol=1e-4)
    near(1 / vertex_areas(vertices, faces)[:, None], golden["lap_cot_inv_area"])


def test_smoothed_vertices_match_the_references():
    golden = read(OPERATORS)
    near(taubin_smoothing(*mesh_of(golden, "taubin_verts_in", "taubin_faces")), golden["taubin_verts"])


def sphere():
    mesh = trimesh.creation.icosphere(1)
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


@pytest.mark.parametrize("function", [
    vertex_normals,
    face_normals,
    vertex_areas,
    lambda v, f: edge_lengths(v, unique_edges(f).vertices),
    lambda v, f: bend_cosines(v, *face_pairs(f)),
    lambda v, f: cotangent_weights(v, f).weights,
    lambda v, f: inverse_length_weights(v, unique_edges(f).vertices).offsets(v),
    lambda v, f: taubin_smoothing(v, f, 2),
])  # yapf: disable
def test_gradients_are_those_of_finite_differences(function):
    vertices, faces = sphere()
    vertices = vertices[faces[:8].unique()] + 0.1 * torch.randn(len(faces[:8].unique()), 3, dtype=torch.float64,
                                                                generator=torch.Generator().manual_seed(0))  # yapf: disable
    few = faces[:8].unique(return_inverse=True)[1]
    assert torch.autograd.gradcheck(lambda v: function(v, few), (vertices.requires_grad_(), ))


def test_an_edge_bounds_the_faces_opposite_whose_corners_it_lies():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    edges = unique_edges(faces)
    assert edges.vertices.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert edges.vertices[edges.of_faces].tolist() == [[[1, 2], [0, 2], [0, 1]], [[1, 3], [2, 3], [1, 2]]]


def test_normals_do_not_depend_on_the_unit():
    vertices, faces = sphere()
    torch.testing.assert_close(vertex_normals((vertices * 1e-9).float(), faces), vertices.float(), atol=1e-6, rtol=0)


def test_vertices_of_no_face_and_flat_faces_have_no_normal_and_finite_gradients():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]], requires_grad=True)
    faces = torch.tensor([[0, 1, 2]])
    for normals in vertex_normals(vertices, faces), face_normals(vertices, faces):
        assert not normals.any()
        assert torch.autograd.grad(normals.sum(), vertices)[0].isfinite().all()


def test_faces_around_one_edge_are_paired_each_with_each():
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    edges, opposite = face_pairs(faces)
    assert edges.tolist() == [[0, 1]] * 3
    assert sorted(sorted(pair) for pair in opposite.tolist()) == [[2, 3], [2, 4], [3, 4]]


def test_bends_are_the_dihedral_angles_of_trimesh_for_any_orientation():
    mesh = trimesh.creation.icosahedron()
    vertices, faces = torch.tensor(mesh.vertices), torch.tensor(mesh.faces)
    faces[::2] = faces[::2].flip(1)
    np.testing.assert_allclose(bend_cosines(vertices, *face_pairs(faces)), np.cos(mesh.face_adjacency_angles), atol=1e-12)


def test_cotangent_offsets_of_a_plane_vanish_for_any_triangulation():
    generator = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    inner = ((points[:, :2] > 0) & (points[:, :2] < 5)).all(1)
    points[inner, :2] += generator.uniform(-0.2, 0.2, (inner.sum(), 2))
    from scipy.spatial import Delaunay
    vertices, faces = torch.tensor(points), torch.tensor(Delaunay(points[:, :2]).simplices).long()
    assert cotangent_weights(vertices, faces).offsets(vertices)[torch.tensor(inner)].abs().max() < 1e-12
    assert uniform_weights(vertices, faces).offsets(vertices)[torch.tensor(inner)].abs().max() > 0.05


def test_corners_without_angle_keep_weights_finite():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 0]])
    assert cotangent_weights(vertices, torch.tensor([[0, 1, 2], [0, 1, 3]])).weights.isfinite().all()


def test_isolated_vertices_do_not_move():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]])
    faces = torch.tensor([[0, 1, 2]])
    assert not uniform_weights(vertices, faces).offsets(vertices)[3].any()
    assert torch.equal(taubin_smoothing(vertices, faces)[3], vertices[3])


def test_smoothing_removes_noise_and_keeps_the_volume():
    mesh = trimesh.creation.icosphere(3)
    noise = torch.randn(mesh.vertices.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rough = torch.tensor(mesh.vertices) + 0.02 * noise
    smooth = taubin_smoothing(rough, torch.tensor(mesh.faces), 20)
    assert smooth.norm(dim=1).std() < 0.5 * rough.norm(dim=1).std()
    assert trimesh.Trimesh(smooth.numpy(), mesh.faces).volume == pytest.approx(mesh.volume, rel=0.02)


def test_meshes_without_faces_have_no_edges():
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert unique_edges(none).vertices.shape == (0, 2) and face_pairs(none)[0].shape == (0, 2)
    assert not vertex_normals(torch.ones(2, 3), none).any()


@pytest.mark.parametrize("function", [vertex_normals, face_normals, taubin_smoothing])
def test_wrong_meshes_are_refused(function):
    with pytest.raises(ValueError, match="faces have vertex indices from 0 to 3"):
        function(torch.zeros(3, 3), torch.tensor([[0, 1, 3]]))
    with pytest.raises(ValueError, match="vertices has"):
        function(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]]))


def test_negative_iterations_are_refused():
    with pytest.raises(ValueError, match="iterations"):
        taubin_smoothing(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), -1)
