"""Meshes of voxels, against the fixture and against what is known of boxes."""

import torch

from deep3dmap.geometry.closed_meshes import open_edges
from deep3dmap.geometry.triangles import signed_volume
from deep3dmap.geometry.voxel_mesh import voxel_mesh
from tests.goldens import read, tensor


def squares(vertices, faces):
    """The squares that triangles halve, by centre and normal; whichever diagonal it is."""
    a, b, c = vertices[faces].unbind(1)
    corners = torch.stack([a, b, c])
    middle = (corners.amax(0) + corners.amin(0)) / 2
    return sorted(torch.cat([middle, torch.linalg.cross(b - a, c - a)], 1).round(decimals=4).add(0.0).tolist())


def test_the_mesh_of_voxels_match_the_references():
    """The fixture's volumes are [z, y, x]; it puts the lower corner of the first cell at -1 and of the last at 1."""
    golden = read("render/mesh_ops")
    inside = (tensor(golden["cubify_voxels"])[0] > float(golden["cubify_thresh"])).permute(2, 1, 0)
    vertices, faces = voxel_mesh(inside)
    steps = (tensor(golden["cubify_verts"]) + 1) / 2 * (torch.tensor(inside.shape) - 1)
    expected = steps.round()
    torch.testing.assert_close(steps, expected, atol=1e-5, rtol=0)
    assert sorted(vertices.tolist()) == sorted(expected.tolist())
    assert squares(vertices, faces) == squares(expected, tensor(golden["cubify_faces"]).long())


def test_a_solid_is_closed_and_oriented_outward():
    inside = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(0)) > 0.4
    vertices, faces = voxel_mesh(inside)
    assert open_edges(faces.numpy()) == 0
    assert signed_volume(vertices, faces) == inside.sum()


def test_a_cell_fills_its_unit_cube():
    inside = torch.zeros(3, 4, 5, dtype=torch.bool)
    inside[2, 0, 3] = True
    vertices, faces = voxel_mesh(inside)
    assert len(faces) == 12 and vertices.amin(0).tolist() == [2, 0, 3] and vertices.amax(0).tolist() == [3, 1, 4]


def test_no_cells_have_no_faces():
    vertices, faces = voxel_mesh(torch.zeros(2, 2, 2, dtype=torch.bool))
    assert vertices.shape == faces.shape == (0, 3)
