"""Cameras and pictures of fragments against NeuralRecon's."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry.fragments import aligned_camera, level_projections, resize_K, resize_view, whole_pixels
from tests.goldens import read, tensor

GOLDEN = read("neuralrecon/geometry")
#: Width and height of the published network's pictures.
SIZE = (640, 480)


def test_pinhole_matrices_of_resized_pictures_are_the_reference_s():
    for K, size, expected in zip(GOLDEN["K_in"], GOLDEN["sizes_in"], GOLDEN["K_resized"]):
        np.testing.assert_allclose(resize_K(K, tuple(map(int, size)), SIZE), expected, rtol=1e-5)


def test_resized_pictures_are_the_reference_s():
    image, _ = resize_view(GOLDEN["resize_in"], np.eye(3), GOLDEN["resize_out"].shape[1::-1])
    np.testing.assert_array_equal(image, GOLDEN["resize_out"])


def test_a_picture_of_scannet_gets_rows_of_black_before_it_is_resized():
    image = np.full((968, 1296, 3), 200, np.uint8)
    resized, K = resize_view(image, np.eye(3), (324, 243))
    assert (resized[1:-1] == 200).all() and 50 < resized[0].mean() < 150 and 50 < resized[-1].mean() < 150
    np.testing.assert_allclose(K[:, 2], (0, 2 / 4, 1))


def test_resizing_keeps_what_a_pixel_of_a_recording_sees():
    """The first pixel's centre at 0.5: the middle of the picture stays the middle."""
    K = np.array([[50.0, 0, 60], [0, 50, 40], [0, 0, 1]])
    _, new = resize_view(np.zeros((80, 120, 3), np.uint8), K, (60, 20))
    np.testing.assert_allclose(new, [[25, 0, 30], [0, 12.5, 10], [0, 0, 1]])


def test_a_recording_s_first_pixel_is_number_zero_here():
    ray = torch.tensor([-0.3, 0.2, 1.0])
    K = torch.tensor([[100.0, 0, 30.5], [0, 90, -17.5], [0, 0, 1]])
    torch.testing.assert_close(K @ ray, torch.tensor([0.5, 0.5, 1.0]))
    torch.testing.assert_close(whole_pixels(K) @ ray, torch.tensor([0.0, 0.0, 1.0]))


def test_projections_of_all_levels_are_the_reference_s():
    K, poses, expected = (tensor(GOLDEN[key]) for key in ("intrinsics", "extrinsics", "proj_matrices"))
    torch.testing.assert_close(level_projections(K, poses, expected.shape[1]), expected, atol=1e-5, rtol=1e-5)


def test_the_aligned_camera_is_the_reference_s():
    poses, expected = tensor(GOLDEN["extrinsics"]), tensor(GOLDEN["world_to_aligned_camera"])
    torch.testing.assert_close(aligned_camera(poses[len(poses) // 2]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pitch", [0.0, 0.4, -1.2])
def test_the_aligned_camera_stands_upright_where_it_is(pitch):
    c, s = np.cos(pitch), np.sin(pitch)
    level = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks along the world's y axis
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = level @ [[1, 0, 0], [0, c, -s], [0, s, c]], (3, 2, 1)
    aligned = aligned_camera(torch.tensor(pose)).numpy()
    np.testing.assert_allclose(aligned @ [3, 2, 1, 1], (0, 0, 0, 1), atol=1e-9)
    np.testing.assert_allclose(aligned[:3, :3], level.T, atol=1e-9)
