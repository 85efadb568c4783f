"""Unwrapping: what a texture atlas must keep and must not do, checked by rasterising texture coordinates by hand."""

import sys

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.unwrap import unwrap

pytest.importorskip("xatlas", reason="needs the extra `mesh`")
SIZE = 256


def lumpy(subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    x, y, _ = mesh.vertices.T
    return trimesh.Trimesh(mesh.vertices * (1 + 0.2 * np.sin(5 * x) * np.cos(4 * y))[:, None], mesh.faces, process=False)


SHAPES = {
    "ball": trimesh.creation.icosphere(subdivisions=3),
    "lumps": lumpy(),
    "box": trimesh.creation.box(),
    "torus": trimesh.creation.torus(1.0, 0.3),
    "far and small": lumpy().apply_scale(1e-4).apply_translation([10.0, 20.0, 30.0]),
    "large": lumpy().apply_scale(1e4),
    "sheet": trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]),
}


def double_areas(uv, faces):
    a, b, c = (uv[faces[:, k]] for k in range(3))
    return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]


@pytest.fixture(scope="module", params=SHAPES)
def pair(request):
    return SHAPES[request.param], unwrap(SHAPES[request.param], SIZE)


def test_faces_keep_their_order_corners_and_normals(pair):
    mesh, unwrapped = pair
    assert np.array_equal(unwrapped.triangles, mesh.triangles)
    assert np.allclose(unwrapped.vertex_normals[unwrapped.faces], mesh.vertex_normals[mesh.faces])


def test_every_face_has_an_area_in_the_square(pair):
    uv, faces = pair[1].visual.uv, pair[1].faces
    assert uv.min() >= 0 and uv.max() <= 1
    assert (np.abs(double_areas(uv, faces)) > 0).all()


def owners(uv, faces, size):
    """Every texel centre and face that strictly holds it, by brute force over each face's box."""
    found = []
    corners = uv[faces] * size
    for face, triangle in enumerate(corners):
        low, high = np.floor(triangle.min(0)).astype(int), np.ceil(triangle.max(0)).astype(int)
        x, y = (a.ravel() for a in np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1])))
        p = np.stack([x, y], -1) + 0.5
        edge = np.roll(triangle, -1, 0) - triangle
        side = edge[:, 0] * (p[:, None, 1] - triangle[:, 1]) - edge[:, 1] * (p[:, None, 0] - triangle[:, 0])
        inside = (side > 1e-6).all(1) | (side < -1e-6).all(1)
        found.append(np.stack([x[inside], y[inside], np.full(inside.sum(), face)], -1))
    return np.concatenate(found)


def test_no_texel_belongs_to_two_faces(pair):
    found = owners(pair[1].visual.uv, pair[1].faces, SIZE)
    assert len(found) > 0.1 * SIZE**2
    assert len(np.unique(found[:, :2], axis=0)) == len(found)


def chart_of_faces(faces, count):
    """The connected component of each face: charts share no vertex."""
    labels = trimesh.graph.connected_component_labels(faces[:, [0, 1, 1, 2]].reshape(-1, 2), node_count=count)
    return labels[faces[:, 0]]


def test_bilinear_sampling_does_not_reach_another_chart(pair):
    """Two texels lie between charts: none that a face samples, one beyond its own, is another chart's."""
    _, unwrapped = pair
    chart = chart_of_faces(unwrapped.faces, len(unwrapped.vertices))
    grid = np.full((SIZE + 2, SIZE + 2), -1)
    x, y, face = owners(unwrapped.visual.uv, unwrapped.faces, SIZE).T
    grid[x + 1, y + 1] = chart[face]
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        beside = np.roll(grid, (dx, dy), (0, 1))
        assert ((grid < 0) | (beside < 0) | (grid == beside)).all()


@pytest.mark.parametrize("mesh, size, message", [(SHAPES["ball"], 15, "at least 16"),
                                                 (trimesh.Trimesh(), 64, "without faces")])
def test_what_can_not_be_unwrapped_is_refused(mesh, size, message):
    with pytest.raises(ValueError, match=message):
        unwrap(mesh, size)


def test_without_xatlas_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(MissingDependencyError, match=r"pip install xatlas \(or deep3dmap\[mesh\]\)"):
        unwrap(SHAPES["ball"], 64)
