"""Dense fusion against the references' code: numba, the text of the CUDA kernel, and torch."""

import numpy as np
import pytest

from deep3dmap.geometry.tsdf import DenseVolume, DepthFrame, Lattice, frustum_bounds, frustum_corners, volume_mesh
from tests.goldens import assert_same_faces, cases, read

NAME = "neuralrecon/tsdf_fusion"


def fused(golden, scale=1):
    K = golden["K"].copy()
    K[:2, 2] += 0.5  # the references' pixels are whole numbers
    lower, upper = golden["vol_bnds_in"].T
    volume = DenseVolume(lower, upper, scale * float(golden["voxel_size"]), float(golden["margin"]))
    for depth, pose in zip(golden["depth"], golden["pose"]):
        volume.integrate(DepthFrame(depth, K, pose))
    return volume


@pytest.mark.parametrize("variant", cases(NAME, "tsdf_(.+)"))
def test_the_volume_is_that_of_each_reference(variant):
    golden = read(NAME)
    volume = fused(golden)
    np.testing.assert_array_equal(volume.weight, golden[f"weight_{variant}"])
    np.testing.assert_allclose(volume.tsdf, golden[f"tsdf_{variant}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("layer", cases(NAME, "full_tsdf_layer(.+)"))
def test_coarser_volumes_of_the_same_box_are_the_references(layer):
    golden = read(NAME)
    volume = fused(golden, 2**int(layer))
    np.testing.assert_array_equal(volume.weight, golden[f"full_weight_layer{layer}"])
    np.testing.assert_allclose(volume.tsdf, golden[f"full_tsdf_layer{layer}"], rtol=0, atol=1e-5)


def test_the_box_ends_at_a_whole_number_of_voxels():
    golden = read(NAME)
    np.testing.assert_allclose(fused(golden).bounds, golden["vol_bnds_out"], atol=1e-6)


def test_the_corners_of_what_a_camera_sees_are_the_references():
    golden = read(NAME)
    for depth, pose, expected in zip(golden["depth"], golden["pose"], golden["frustum"]):
        found = frustum_corners(golden["K"], pose, depth.shape, float(depth.max()))
        np.testing.assert_allclose(found, expected.T, atol=1e-5)


def test_the_box_around_some_cameras_holds_their_corners_tightly():
    golden = read(NAME)
    poses, size = golden["pose"], golden["depth"].shape[1:]
    bounds = frustum_bounds(np.stack([golden["K"]] * len(poses)), poses, size, 2.0)
    corners = np.concatenate([frustum_corners(golden["K"], pose, size, 2.0) for pose in poses])
    np.testing.assert_array_equal(bounds, np.stack([corners.min(0), corners.max(0)], 1))


def test_the_mesh_of_a_whole_volume_is_the_references():
    golden = read("neuralrecon/mesh")
    mesh = volume_mesh(Lattice(golden["origin"].astype(np.float64), float(golden["voxel_size"])), golden["tsdf"])
    assert_same_faces((mesh.vertices, mesh.faces), (golden["trimesh_vertices"], golden["trimesh_faces"]), 1e-5)
    assert np.isclose(mesh.area, golden["area"], rtol=1e-4)
