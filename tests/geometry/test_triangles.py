"""Areas, volumes and pieces of triangle meshes, against solids whose figures are known and against trimesh."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.geometry.triangles import (
    face_areas,
    face_components,
    largest_component,
    sample_surface,
    sample_surface_normals,
    signed_volume,
)


def tensors(mesh):
    return torch.tensor(mesh.vertices), torch.tensor(mesh.faces)


def box(extents, shift=0.0):
    mesh = trimesh.creation.box(extents)
    mesh.apply_translation([shift, 0, 0])
    return mesh


def test_a_box_has_its_area_and_volume_with_the_sign_of_the_faces_order():
    vertices, faces = tensors(box((1, 2, 3)))
    assert float(face_areas(vertices, faces).sum()) == pytest.approx(22)
    assert float(signed_volume(vertices, faces)) == pytest.approx(6)
    vertices, faces = tensors(box((1, 2, 3)))
    assert float(signed_volume(vertices, faces.flip(1))) == pytest.approx(-6)


def test_the_largest_piece_is_the_one_with_most_area_not_most_faces():
    many_faces, large = trimesh.creation.icosphere(3, 0.5), box((2, 2, 2), 5.0)
    vertices, faces = largest_component(*tensors(trimesh.util.concatenate([many_faces, large])))
    assert len(faces) == 12 and len(vertices) == 8
    assert float(face_areas(vertices, faces).sum()) == pytest.approx(24)


def test_pieces_are_those_of_trimesh_s_split():
    mesh = trimesh.util.concatenate([box((1, 1, 1), 3.0 * k) for k in range(4)])
    assert np.bincount(face_components(torch.tensor(mesh.faces))).tolist() == [len(p.faces) for p in mesh.split()]


def test_pieces_that_share_only_a_vertex_are_apart():
    faces = torch.tensor([[0, 1, 2], [2, 3, 4]])
    assert face_components(faces).unique().tolist() == [0, 1]


@pytest.mark.parametrize("call, message", [
    (lambda: largest_component(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)), "without faces"),
    (lambda: sample_surface(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 5), "without area"),
])  # yapf: disable
def test_a_mesh_without_faces_or_area_has_no_largest_piece_and_no_points(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_points_are_drawn_in_proportion_to_the_area():
    vertices, faces = tensors(box((1.0, 1.0, 8.0)))
    points = sample_surface(vertices, faces, 40_000, torch.Generator().manual_seed(0))
    on_an_end = (points[:, 2].abs() - 4).abs() < 1e-9
    assert float(on_an_end.double().mean()) == pytest.approx(2 / 34, abs=0.004)
    assert points.mean(0).numpy() == pytest.approx([0, 0, 0], abs=0.03)
    assert float(points[~on_an_end, 2].var()) == pytest.approx(64 / 12, rel=0.03)


def test_a_surface_without_area_gives_no_points():
    with pytest.raises(ValueError, match="without area"):
        sample_surface(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 5)


def test_points_come_with_the_normals_of_their_faces():
    vertices, faces = tensors(trimesh.creation.icosphere(2))
    points, normals = sample_surface_normals(vertices, faces, 200, torch.Generator().manual_seed(0))
    assert torch.equal(points, sample_surface(vertices, faces, 200, torch.Generator().manual_seed(0)))
    _, _, face = trimesh.proximity.closest_point_naive(trimesh.Trimesh(vertices, faces), points)
    expected = trimesh.Trimesh(vertices, faces, process=False).face_normals[face]
    torch.testing.assert_close(normals, torch.tensor(expected))


def test_drawn_points_and_normals_are_differentiable():
    vertices, faces = tensors(trimesh.creation.icosahedron())

    def draw(moved):
        return sample_surface_normals(moved, faces, 5, torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(draw, (vertices.requires_grad_(), ))
