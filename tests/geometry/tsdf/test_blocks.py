"""Sparse blocks: against dense volumes, a plain implementation and analytic surfaces."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry.tsdf import BlockVolume, DenseVolume, DepthFrame, Lattice, volume_mesh
from deep3dmap.geometry.tsdf.kernel import BIAS
from tests.geometry.tsdf.conftest import RADIUS, SIZE, K, rays
from tests.goldens import assert_same_faces

VOXEL = 0.05


def fused(frames, **options):
    volume = BlockVolume(VOXEL, **options)
    for frame in frames:
        volume.allocate(frame)
    for frame in frames:
        volume.integrate(frame)
    return volume


def dense(frames):
    volume = DenseVolume(np.full(3, -16 * VOXEL), np.full(3, 16 * VOXEL), VOXEL, color=True)
    for frame in frames:
        volume.integrate(frame)
    return volume


def scattered(volume, name):
    """The voxels of blocks in the box of the dense volume; NaN where there is no block."""
    box = np.full((4, 4, 4, 8, 8, 8), np.nan)
    inside = (np.abs(volume.coordinates + 0.5) < 2).all(1)
    box[tuple(volume.coordinates[inside].T + 2)] = getattr(volume, name)[inside]
    return box.transpose(0, 3, 1, 4, 2, 5).reshape(32, 32, 32)


@pytest.mark.parametrize("name", ["tsdf", "weight"])
def test_voxels_of_blocks_are_those_of_a_dense_volume(sphere, name):
    found, expected = scattered(fused(sphere), name), getattr(dense(sphere), name)
    np.testing.assert_allclose(found[~np.isnan(found)], expected[~np.isnan(found)], atol=1e-6)


def test_every_voxel_near_a_surface_has_a_block(sphere):
    near = np.abs(dense(sphere).tsdf) < 0.999
    assert near.sum() > 1000
    assert not np.isnan(scattered(fused(sphere), "tsdf")[near]).any()


def test_the_mesh_of_parts_of_many_blocks_is_that_of_one_volume(sphere, monkeypatch):
    monkeypatch.setattr("deep3dmap.geometry.tsdf.blocks.PART", 1)
    whole = dense(sphere)
    expected = volume_mesh(Lattice(whole.origin, VOXEL), whole.tsdf, whole.weight >= 2)
    found = fused(sphere).mesh(2.0)
    assert_same_faces((found.vertices, found.faces), (expected.vertices, expected.faces), 1e-6)
    assert len(found.vertices) == len(expected.vertices)  # also where parts meet


def test_the_surface_of_a_sphere_is_found(sphere):
    mesh = fused(sphere).mesh()
    distance = np.linalg.norm(mesh.vertices, axis=1) - RADIUS
    assert abs(distance.mean()) < 0.15 * VOXEL and np.abs(distance).max() < VOXEL
    assert mesh.volume > 0  # normals point to the cameras


def test_a_slanted_plane_lies_where_the_pixels_centres_saw_it():
    """Half a pixel of error in the convention would move it by 4 mm."""
    normal = np.array([0.7, 0.0, -0.7])
    depth = (-0.9 / (rays() @ normal)).astype(np.float32)
    mesh = fused([DepthFrame(depth, K, np.eye(4))]).mesh()
    distance = (mesh.vertices @ normal + 0.9) / np.linalg.norm(normal)
    assert abs(distance.mean()) < 0.002


def test_surfaces_have_the_pictures_colours(sphere):
    mesh = fused(sphere).mesh()
    red, side = mesh.visual.vertex_colors[:, 0].astype(int), mesh.vertices[:, 0]
    blue = mesh.visual.vertex_colors[:, 2].astype(int)
    assert (red[side > 0.15] > 190).mean() > 0.95 and (blue[side < -0.15] > 190).mean() > 0.95


def test_updates_are_those_of_a_plain_implementation(sphere):
    volume, plain = BlockVolume(VOXEL), PlainVolume()
    for frame in sphere:
        volume.allocate(frame)
    for frame in sphere:
        volume.integrate(frame)
        plain.integrate(volume.coordinates, frame)
    np.testing.assert_allclose(volume.tsdf, plain.tsdf, atol=1e-6)
    np.testing.assert_array_equal(volume.weight, plain.weight)
    np.testing.assert_allclose(volume.color[..., :3] / 256, plain.color, atol=0.05)


class PlainVolume:
    """The update of all blocks in plain torch, as in the paper's equations."""

    tsdf = None

    def integrate(self, coordinates, frame):
        step = torch.cartesian_prod(*[torch.arange(8)] * 3)
        voxels = VOXEL * (8 * torch.tensor(coordinates)[:, None] + step).double().reshape(-1, 8, 8, 8, 3)
        if self.tsdf is None:
            self.tsdf, self.weight = torch.ones(voxels.shape[:4]), torch.zeros(voxels.shape[:4])
            self.color, self.colored = torch.zeros(voxels.shape), torch.zeros(voxels.shape[:4])
        cam = torch.tensor(frame.world_to_cam)
        points = voxels @ cam[:, :3].T + cam[:, 3]
        pixels = (points @ torch.tensor(frame.K).T)[..., :2] / points[..., 2:]
        columns, rows = (pixels - 0.5).round().long().unbind(-1)
        seen = (points[..., 2] > 0) & (rows >= 0) & (rows < SIZE[0]) & (columns >= 0) & (columns < SIZE[1])
        index = rows.clamp(0, SIZE[0] - 1), columns.clamp(0, SIZE[1] - 1)
        depth = torch.tensor(frame.depth)[index]
        distance = (depth - points[..., 2]) / (3 * VOXEL)
        seen &= (depth > 0) & (distance >= -1)
        self.tsdf[seen] = ((self.weight * self.tsdf + distance.clamp(max=1).float()) / (self.weight + 1))[seen]
        self.weight += seen
        near = seen & (distance < 1)
        value = torch.tensor(frame.image)[index].float()
        self.color[near] = ((self.colored[..., None] * self.color + value) / (self.colored[..., None] + 1))[near]
        self.colored += near


def test_the_number_of_threads_changes_nothing(sphere):
    threads, volumes = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            volumes.append(fused(sphere))
    finally:
        torch.set_num_threads(threads)
    for name in ("coordinates", "tsdf", "weight", "color"):
        np.testing.assert_array_equal(getattr(volumes[0], name), getattr(volumes[1], name))


def test_a_restored_volume_goes_on_to_the_same_voxels(sphere):
    half, whole, restored = BlockVolume(VOXEL), BlockVolume(VOXEL), BlockVolume(VOXEL)
    for frame in sphere[:4]:
        half.integrate(frame)
        whole.integrate(frame)
    restored.load_state(half.state())
    for frame in sphere[4:]:
        whole.integrate(frame)
        restored.integrate(frame)
    for name in ("coordinates", "tsdf", "weight", "color"):
        np.testing.assert_array_equal(getattr(restored, name), getattr(whole, name))


def wall(width, distance=4.0):
    """The depth map of a wall in front of a camera at the origin, ``width`` metres wide and high."""
    lens = np.array([[200.0 * distance / width, 0, 100], [0, 200.0 * distance / width, 100], [0, 0, 1]])
    return DepthFrame(np.full((200, 200), distance, np.float32), lens, np.eye(4))


def test_blocks_grow_with_the_surface_not_with_the_space():
    small, large, far = (BlockVolume(VOXEL) for _ in range(3))
    small.integrate(wall(5.0))
    large.integrate(wall(20.0, 16.0))
    far.integrate(wall(5.0, 12.0))
    assert 10 * len(small) < len(large) < 20 * len(small)
    assert len(far) < 1.5 * len(small)


def test_depths_beyond_the_largest_are_unknown():
    volume = BlockVolume(VOXEL, max_depth=3.0)
    volume.integrate(wall(5.0))
    assert len(volume) == 0 and len(volume.mesh().faces) == 0


def test_a_scene_anywhere_is_found_again(sphere):
    volume = fused(sphere)
    np.testing.assert_array_equal(volume.find(volume.coordinates), np.arange(len(volume)))
    missing = np.array([[1 - BIAS, 0, BIAS - 1], [1000, 1000, 1000]])
    np.testing.assert_array_equal(volume.find(missing), [-1, -1])
