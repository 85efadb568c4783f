"""Distances between points and meshes, against the fixture and against all pairs."""

import pytest
import torch
import trimesh

from deep3dmap.geometry import point_mesh as module
from deep3dmap.geometry.point_mesh import corner_weights, mesh_to_points, points_to_mesh
from deep3dmap.geometry.triangles import unique_edges
from tests.goldens import cases, read, tensor

NAME = "render/mesh_losses"

#: Which faces the fixture counts as their edges only, unless a case's name says ``minarea0``.
LEAST_AREA = 5e-3


@pytest.mark.parametrize("case", cases(NAME, "(pf_.+)_point_to_face"))
def test_squared_distances_match_the_references(case):
    golden = read(NAME)
    scale, spread = golden["pf_small_scale_verts_points"] if "small" in case else (1, 1)
    points, vertices = tensor(golden["points0"] * spread), tensor(golden["verts0"] * scale)
    least = 0.0 if "minarea0" in case else LEAST_AREA
    for function, name in (points_to_mesh, "point_to_face"), (mesh_to_points, "face_to_point"):
        distances = function(points, vertices, tensor(golden["faces0"]).long(), least)
        torch.testing.assert_close(distances, tensor(golden[f"{case}_{name}"]), atol=1e-6, rtol=1e-5)


def scene(seed=0, dtype=torch.float64):
    """A rough ball with faces of all sizes, and points inside and far outside."""
    mesh = trimesh.creation.icosphere(2)
    generator = torch.Generator().manual_seed(seed)
    vertices = torch.tensor(mesh.vertices) + 0.2 * torch.randn(len(mesh.vertices), 3, generator=generator, dtype=torch.float64)
    points = 1.5 * torch.randn(60, 3, generator=generator, dtype=torch.float64)
    return points.to(dtype), vertices.to(dtype), torch.tensor(mesh.faces)


def all_pairs(points, vertices, simplices, least_area):
    """Squared distances of all points from all simplices."""
    count, corners = len(points), vertices[simplices]
    repeated = corners.repeat(count, 1, 1)
    places = points.repeat_interleave(len(corners), 0)
    feet = (corner_weights(places, repeated, least_area)[..., None] * repeated).sum(1)
    return (places - feet).square().sum(-1).reshape(count, -1)


@pytest.mark.parametrize("least_area", [0.0, 0.03, 1.0])
@pytest.mark.parametrize("edges", [False, True])
def test_searches_find_what_all_pairs_show(monkeypatch, least_area, edges):
    monkeypatch.setattr(module, "CHUNK", 100)
    points, vertices, faces = scene()
    simplices = unique_edges(faces).vertices if edges else faces
    expected = all_pairs(points, vertices, simplices, least_area)
    torch.testing.assert_close(points_to_mesh(points, vertices, simplices, least_area), expected.amin(1))
    torch.testing.assert_close(mesh_to_points(points, vertices, simplices, least_area), expected.amin(0))


def test_distances_are_trimesh_s():
    points, vertices, faces = scene()
    _, distance, _ = trimesh.proximity.closest_point_naive(trimesh.Trimesh(vertices, faces, process=False), points)
    torch.testing.assert_close(points_to_mesh(points, vertices, faces).sqrt(), torch.tensor(distance))


@pytest.mark.parametrize("function", [points_to_mesh, mesh_to_points])
@pytest.mark.parametrize("least_area", [0.0, 0.03])
@pytest.mark.parametrize("edges", [False, True])
def test_gradients_are_those_of_finite_differences(function, least_area, edges):
    points, vertices, faces = scene()
    few = unique_edges(faces[:20]).vertices if edges else faces[:20]
    used, few = few.unique(return_inverse=True)
    arguments = (points[:10].requires_grad_(), vertices[used].requires_grad_())
    assert torch.autograd.gradcheck(lambda p, v: function(p, v, few, least_area), arguments)


def test_the_closest_place_of_a_triangle_may_be_inside_on_an_edge_or_a_corner():
    corners = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]]).repeat(3, 1, 1)
    points = torch.tensor([[0.25, 0.25, 7], [0.5, -1, 1], [-1, -1, 0]])
    assert corner_weights(points, corners).tolist() == [[0.5, 0.25, 0.25], [0.5, 0.5, 0], [1, 0, 0]]
    assert corner_weights(points, corners, least_area=0.6)[0].tolist() != [0.5, 0.25, 0.25]


def test_faces_without_area_are_their_edges():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], requires_grad=True)
    points = torch.tensor([[1.5, 1, 0], [5.0, 0, 0]], requires_grad=True)
    for faces in torch.tensor([[0, 1, 2]]), torch.tensor([[0, 0, 2]]), torch.tensor([[2, 2, 2]]):
        distances = points_to_mesh(points, vertices, faces)
        assert distances.tolist() == [1.25 if len(faces.unique()) == 1 else 1, 9]
        both = torch.autograd.grad(distances.sum() + mesh_to_points(points, vertices, faces).sum(), (points, vertices))
        assert all(gradient.isfinite().all() for gradient in both)


def test_no_points_and_no_faces():
    points, vertices, faces = scene()
    assert points_to_mesh(points[:0], vertices, faces).shape == (0, )
    assert mesh_to_points(points, vertices, faces[:0]).shape == (0, )
    with pytest.raises(ValueError, match="without faces"):
        points_to_mesh(points, vertices, faces[:0])
    with pytest.raises(ValueError, match="empty point cloud"):
        mesh_to_points(points[:0], vertices, faces)


@pytest.mark.parametrize("change, named", [
    (dict(points=torch.full((2, 3), torch.nan)), "points has"), (dict(vertices=torch.full((3, 3), torch.inf)), "vertices has"),
    (dict(simplices=torch.tensor([[0, 1, 3]])), "faces have"), (dict(simplices=torch.zeros(1, 4).long()), "simplices must"),
    (dict(least_area=-1.0), "least_area must"), (dict(least_area=float("nan")), "least_area must"),
])  # yapf: disable
@pytest.mark.parametrize("function", [points_to_mesh, mesh_to_points])
def test_wrong_arguments_are_named(function, change, named):
    arguments = dict(points=torch.zeros(2, 3), vertices=torch.eye(3), simplices=torch.tensor([[0, 1, 2]]))
    with pytest.raises(ValueError, match=named):
        function(**(arguments | change))
