"""Meshes of sparse voxels against scikit-image's of the whole volume."""

import numpy as np
import pytest
from skimage import measure

from deep3dmap.geometry.tsdf import Lattice, sparse
from deep3dmap.geometry.tsdf.sparse import sparse_mesh
from tests.goldens import assert_same_faces, read

GOLDEN = read("neuralrecon/mesh")
UNIT = Lattice(np.zeros(3), 1.0)


def known_voxels(low: int = -9) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A shell around a sphere of radius 7 with gaps: its voxels, distances, and the volume with 1 elsewhere."""
    generator = np.random.default_rng(0)
    axis = np.arange(low, -low + 1)
    coords = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = ((np.linalg.norm(coords - 0.3, axis=-1) - 7) / 3).astype(np.float32)
    known = (np.abs(distance) < 0.6) & (generator.random(distance.shape) < 0.95)
    return coords[known], distance[known], np.where(known, distance, np.float32(1))


@pytest.mark.parametrize("part", [8, 64])
def test_the_mesh_is_that_of_the_volume_with_ones_where_nothing_is_known(part, monkeypatch):
    monkeypatch.setattr(sparse, "PART", part)
    coords, tsdf, volume = known_voxels()
    mesh = sparse_mesh(UNIT, coords, tsdf)
    vertices, faces, _, _ = measure.marching_cubes(volume, 0.0)
    assert_same_faces((mesh.vertices, mesh.faces), (vertices - 9, faces), 1e-5)


def test_neuralrecon_s_mesh():
    coords = np.argwhere(np.ones(GOLDEN["tsdf"].shape))
    mesh = sparse_mesh(Lattice(GOLDEN["origin"].astype(np.float64), float(GOLDEN["voxel_size"])), coords,
                       GOLDEN["tsdf"].ravel())
    assert_same_faces((mesh.vertices, mesh.faces), (GOLDEN["trimesh_vertices"], GOLDEN["trimesh_faces"]), 1e-5)
    assert mesh.area == pytest.approx(float(GOLDEN["area"]), rel=1e-5)


def test_an_open_mesh_has_faces_between_known_voxels_only():
    coords, tsdf, _ = known_voxels()
    mesh = sparse_mesh(UNIT, coords, tsdf, closed=False)
    assert len(mesh.faces) > 500
    assert np.abs(np.linalg.norm(mesh.vertices - 0.3, axis=1) - 7).max() < 0.1


def test_without_voxels_the_mesh_is_empty():
    assert not len(sparse_mesh(UNIT, np.zeros((0, 3), np.int64), np.zeros(0, np.float32)).faces)


def test_parts_far_apart_take_no_memory_for_the_space_between():
    near = np.argwhere(np.ones((3, 3, 3)))
    tsdf = near[:, 0].astype(np.float32) - np.float32(0.5)
    mesh = sparse_mesh(UNIT, np.concatenate([near, near + 10**6]), np.concatenate([tsdf, tsdf]), closed=False)
    assert len(mesh.faces) == 2 * len(sparse_mesh(UNIT, near, tsdf, closed=False).faces) > 0
