"""Exchange between points and voxels: torchsparse's values, and what is known of linear functions."""

import pytest
import torch

from deep3dmap.backbones.sparse import PointVoxels, SparseTensor
from deep3dmap.errors import DataError
from tests.backbones.sparse.grids import random_coords, rows_of, sparse
from tests.goldens import read, tensor

GOLDEN = read("neuralrecon/sparse_ops")
NEAR = dict(atol=1e-5, rtol=1e-5)


@pytest.fixture
def points() -> PointVoxels:
    """The fixture's."""
    return PointVoxels(tensor(GOLDEN["points"]), float(GOLDEN["vres"]))


def ordered(x: SparseTensor, coords: str) -> torch.Tensor:
    """Features in the order of the fixture's voxels."""
    return x.features[rows_of(tensor(GOLDEN[coords]), x.coords)]


def test_voxels_hold_the_means_of_their_points(points):
    torch.testing.assert_close(points.coords, tensor(GOLDEN["z_C_after"]))
    torch.testing.assert_close(ordered(points.pool(tensor(GOLDEN["feats"])), "vox_coords"), tensor(GOLDEN["vox_feats"]),
                               **NEAR)


def test_points_get_interpolated_features_and_give_them_back(points):
    near = points.interpolate(points.pool(tensor(GOLDEN["feats"])))
    torch.testing.assert_close(near, tensor(GOLDEN["tri_feats"]), **NEAR)
    torch.testing.assert_close(ordered(points.pool(near), "vox_coords"), tensor(GOLDEN["p2v_feats"]), **NEAR)


def test_so_they_do_at_coarser_strides(points):
    features = torch.zeros(len(points.voxels.coords(4)), GOLDEN["y_d4"].shape[1])
    features[rows_of(tensor(GOLDEN["c_d4"]), points.voxels.coords(4))] = tensor(GOLDEN["y_d4"])
    near = points.interpolate(SparseTensor(features, points.voxels, 4))
    torch.testing.assert_close(near, tensor(GOLDEN["tri4_feats"]), **NEAR)
    torch.testing.assert_close(ordered(points.pool(near, 4), "c_d4"), tensor(GOLDEN["p2v4_feats"]), **NEAR)


def test_coarse_voxels_hold_the_means_of_the_points_in_them():
    points, features = torch.cat([torch.rand(60, 3) * 9 - 5, torch.randint(2, (60, 1))], 1), torch.randn(60, 2)
    x = PointVoxels(points, 1.0).pool(features, 3)
    for row, mean in zip(x.coords, x.features):
        inside = ((points[:, :3] >= row[:3]) & (points[:, :3] < row[:3] + 3)).all(1) & (points[:, 3] == row[3])
        torch.testing.assert_close(mean, features[inside].mean(0))


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_linear_function_is_interpolated_exactly_where_all_voxels_are_there(stride):
    grid = random_coords(8, 1.0, low=-4).double()
    inside = torch.rand(50, 4, dtype=torch.float64) * torch.tensor([3.9, 3.9, 3.9, 1]) - torch.tensor([4, 4, 4, 0])
    inside[:, 3] = 1
    points = PointVoxels(torch.cat([inside, grid]), 1.0)
    slopes = torch.tensor([[1.0, -2.0], [3.0, 0.5], [0.25, 4.0]], dtype=torch.float64)
    x = SparseTensor(points.voxels.coords(stride)[:, :3].double() @ slopes, points.voxels, stride)
    torch.testing.assert_close(points.interpolate(x)[:50], inside[:, :3] @ slopes, atol=1e-6, rtol=0)


def test_voxels_that_are_not_there_do_not_count():
    points = PointVoxels(torch.tensor([[0.75, 0.5, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0]]), 1.0)
    x = points.pool(torch.tensor([[2.0], [10.0]]))
    low, high = 0.25 * 0.5 * 0.75, 0.75 * 0.5 * 0.75
    torch.testing.assert_close(points.interpolate(x)[0, 0].item(), (2 * low + 10 * high) / (low + high))


def test_the_gradients_are_those_of_finite_differences():
    points = PointVoxels(torch.rand(30, 4, dtype=torch.float64) * torch.tensor([3.0, 3.0, 3.0, 0.9]), 1.0)
    features = torch.randn(30, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: points.interpolate(points.pool(given, 2)), [features])


def test_means_of_bfloat16_features_are_summed_in_float32():
    points = PointVoxels(torch.rand(1000, 4) * 0.9, 1.0)
    features = torch.full((1000, 1), 1.0078125).bfloat16()
    assert points.pool(features).features.tolist() == [[1.0078125]]


def test_features_are_taken_row_by_row_in_any_order():
    coords = random_coords(5, 0.4)
    features, shuffled = torch.randn(len(coords), 2), torch.randperm(len(coords))
    assert torch.equal(sparse(coords, features).features, sparse(coords[shuffled], features[shuffled]).features)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e12])
def test_points_that_no_voxel_can_hold_are_named(bad):
    points = torch.zeros(3, 4)
    points[1, 2] = bad
    with pytest.raises(DataError, match="point 1 .*voxels of 0.04"):
        PointVoxels(points, 0.04)
