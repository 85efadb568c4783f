"""Voxels of several levels against NeuralRecon's."""

import torch

from deep3dmap.geometry.voxels import camera_points, subdivide, voxel_grid, world_points
from tests.goldens import cases, read, tensor


def test_grids_are_the_reference_s():
    golden = read("neuralrecon/geometry")
    for interval in cases("neuralrecon/geometry", r"grid_i(\d+)"):
        grid = voxel_grid(golden["n_vox"].tolist(), int(interval))
        assert torch.equal(grid[:, 1:].T.float(), tensor(golden[f"grid_i{interval}"])[0]) and not grid[:, 0].any()


def test_scenes_follow_one_another():
    grid = voxel_grid((2, 3, 4), 1, scenes=3)
    assert torch.equal(grid[:, 0], torch.arange(3).repeat_interleave(24))
    assert torch.equal(grid[24:48, 1:], grid[:24, 1:])


def test_voxels_divide_as_the_reference_s():
    golden = read("neuralrecon/loss")
    fine = subdivide(tensor(golden["ups_coords_in"]).long(), int(golden["ups_interval"]))
    assert torch.equal(fine.float(), tensor(golden["ups_coords"]))
    features = tensor(golden["ups_feat_in"]).repeat_interleave(8, 0)
    assert torch.equal(features, tensor(golden["ups_feat"]))


def test_points_lie_in_their_scene_s_volume():
    coords, origins = torch.tensor([[1, 0, 0, 0], [0, 1, 2, 4]]), torch.tensor([[0.0, 0, 1], [5, 6, 7]])
    expected = torch.tensor([[5.0, 6, 7], [0.5, 1, 3]])
    torch.testing.assert_close(world_points(coords, origins, 0.5), expected)
    maps = torch.eye(4).repeat(2, 1, 1)
    maps[1] = torch.tensor([[0.0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    moved = torch.tensor([[-5.0, 5, 7, 1], [0.5, 1, 3, 0]])
    torch.testing.assert_close(camera_points(coords, origins, 0.5, maps), moved)
