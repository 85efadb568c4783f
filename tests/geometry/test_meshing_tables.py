"""Our meshes of volumes against those of another marching cubes, by other tables.

Both put the same vertices on the lattice's edges. Tables differ in how they divide a polygon into triangles, and in how they
join the vertices around a cell's side with an ambiguous pattern of signs; ours (Lewiner's) also puts some into cells' middles.
"""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from deep3dmap.geometry.meshing import mesh_grid
from deep3dmap.geometry.meshing_grids import Grid
from tests.goldens import cases, read

NAME = "render/marching_cubes"
CASES = cases(NAME, "(.+)_volume")


def volume_of(case):
    """A fixture's values [x, y, z], which it keeps as [z, y, x], and its level: halfway where none was given."""
    golden = read(NAME)
    volume, level = golden[f"{case}_volume"].T, float(golden[f"{case}_isolevel"])
    return volume, (float(volume.max()) + float(volume.min())) / 2 if np.isnan(level) else level


def mesh_of(volume, level, origin, spacing):
    """Vertices and faces of our mesh on a lattice at this place."""
    grid = Grid(np.asarray(origin, float), np.eye(3), np.asarray(spacing, float), tuple(n - 1 for n in volume.shape))

    def field(points):
        return torch.from_numpy(volume[tuple(np.round((points.double().numpy() - grid.origin) / grid.spacing).astype(int).T)])

    return [x.numpy() for x in mesh_grid(field, grid, level=level, method="dense")]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("frame", ["grid", "local"])
def test_vertices_match_the_references(case, frame):
    """The fixture's local frame has the lattice's corners at -1 and 1."""
    volume, level = volume_of(case)
    lattice = ([0, 0, 0], [1, 1, 1]) if frame == "grid" else ([-1, -1, -1], 2 / (np.array(volume.shape) - 1))
    vertices, _ = mesh_of(volume, level, *lattice)
    expected = read(NAME)[f"{case}_verts_{frame}"]
    steps = (vertices - lattice[0]) / lattice[1]
    on_edges = (np.abs(steps - steps.round()) < 1e-4).sum(1) >= 2
    assert len(expected) == on_edges.sum() == read(NAME)[f"{case}_count"][0]
    assert cKDTree(vertices[on_edges]).query(expected)[0].max() < 1e-5 * max(volume.shape)
    assert cKDTree(expected).query(vertices[on_edges])[0].max() < 1e-5 * max(volume.shape)


def outlines(vertices, faces, names):
    """Directed edges in the sides between cells, by the names of their ends, with the place of the side's middle."""
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    start, end = vertices[edges[:, 0]], vertices[edges[:, 1]]
    flat = (np.abs(start - end) < 1e-4) & (np.abs(start - start.round()) < 1e-4)
    middle = np.where(flat, start.round(), np.floor((start + end) / 2) + 0.5)
    return {(names[a], names[b]): tuple(at) for (a, b), at in zip(edges[flat.any(1)], middle[flat.any(1)])}


def ambiguous(volume, level, middle):
    """Whether the signs around a side alternate, so that two pairs of edges are possible."""
    axes = np.flatnonzero(np.asarray(middle) % 1)
    if len(axes) < 2:  # an edge along the lattice
        return False
    around = [[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]]
    corners = np.repeat(np.asarray(middle)[None], 4, 0)
    corners[:, axes] += around
    inside = volume[tuple(corners.astype(int).T)] < level
    return bool((inside == inside[[2, 3, 0, 1]]).all() and inside[0] != inside[1])


@pytest.mark.parametrize("case", CASES)
def test_the_surface_crosses_cells_sides_as_the_references_does(case):
    """The outlines of the surface in each cell, with the sense of rotation, wherever tables have no choice."""
    golden, (volume, level) = read(NAME), volume_of(case)
    vertices, faces = mesh_of(volume, level, [0, 0, 0], [1, 1, 1])
    expected = golden[f"{case}_verts_grid"]
    distance, name = cKDTree(expected).query(vertices)
    ours = outlines(vertices, faces, np.where(distance < 1e-4, name, len(expected) + np.arange(len(vertices))))
    theirs = outlines(expected, golden[f"{case}_faces"].astype(int), np.arange(len(expected)))
    assert len(golden[f"{case}_faces"]) == golden[f"{case}_count"][1]
    for some, others in (ours, theirs), (theirs, ours):
        assert all(ambiguous(volume, level, some[edge]) for edge in set(some) - set(others))
    shared = set(ours) & set(theirs)
    assert len(shared) > 0.75 * len(theirs)


def area_and_volume(vertices, faces):
    a, b, c = vertices[faces].transpose(1, 0, 2).astype(float)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2, (a * np.cross(b, c)).sum() / 6


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("sphere", "torus"))])
def test_smooth_shapes_have_the_references_area_and_volume(case):
    golden = read(NAME)
    ours = area_and_volume(*mesh_of(*volume_of(case), [0, 0, 0], [1, 1, 1]))
    expected = area_and_volume(golden[f"{case}_verts_grid"], golden[f"{case}_faces"].astype(int))
    np.testing.assert_allclose(ours, expected, rtol=1e-2)
