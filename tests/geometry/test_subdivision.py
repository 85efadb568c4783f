"""Finer meshes, against the fixture."""

import pytest
import torch

from deep3dmap.geometry.subdivision import subdivide
from deep3dmap.geometry.triangles import face_areas
from tests.goldens import read, tensor


def test_a_finer_mesh_match_the_references():
    golden = read("render/mesh_ops")
    vertices, faces = subdivide(tensor(golden["subdivide_verts_in"]), tensor(golden["subdivide_faces_in"]).long())
    torch.testing.assert_close(vertices, tensor(golden["subdivide_verts"]))
    assert torch.equal(faces, tensor(golden["subdivide_faces"]).long())


def test_surface_and_orientation_are_preserved():
    vertices, faces = torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 3, 0]]), torch.tensor([[0, 1, 2]])
    finer, parts = subdivide(vertices, faces)
    torch.testing.assert_close(face_areas(finer, parts), torch.full((4, ), 1.5))
    a, b, c = finer[parts].unbind(1)
    assert (torch.linalg.cross(b - a, c - a)[:, 2] > 0).all()


def test_values_of_any_dimension_are_differentiable():
    faces = torch.tensor([[0, 1, 2], [2, 1, 3]])
    values = torch.rand(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: subdivide(v, faces)[0], (values, ))


def test_wrong_meshes_are_refused():
    with pytest.raises(ValueError, match="faces"):
        subdivide(torch.zeros(2, 3), torch.tensor([[0, 1, 2]]))
