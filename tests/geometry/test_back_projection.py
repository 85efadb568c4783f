"""Features carried from pictures to voxels, against NeuralRecon's and a plain computation."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deep3dmap.geometry import back_projection
from deep3dmap.geometry.back_projection import back_project
from tests.goldens import read, tensor

GOLDEN = read("neuralrecon/back_project")


def inputs() -> tuple:
    coords, origins, features, projections = (tensor(GOLDEN[key]) for key in ("coords", "origin", "feats", "KRcam"))
    return coords.long(), origins, float(GOLDEN["voxel_size"]), features, projections


def plain_means(coords: Tensor, origins: Tensor, size: float, features: Tensor, projections: Tensor) -> Tensor:
    """Mean features by grid_sample of all voxels in all views."""
    points = coords[:, 1:] * size + origins[coords[:, 0]]
    total, count = torch.zeros(len(points), features.shape[2]), torch.zeros(len(points), 1)
    for view, matrices in zip(features, projections):
        x, y, z, _ = (matrices[coords[:, 0]] @ functional.pad(points, (0, 1), value=1.0)[..., None])[..., 0].unbind(1)
        grid = torch.stack([2 * x / z / (view.shape[3] - 1) - 1, 2 * y / z / (view.shape[2] - 1) - 1], 1)
        seen = (grid.abs() <= 1).all(1, keepdim=True) & (z > 0)[:, None]
        found = functional.grid_sample(view, grid[None, :, None].expand(len(view), -1, -1, -1), align_corners=True)[..., 0]
        total = total + torch.where(seen, found[coords[:, 0], :, torch.arange(len(points))], 0)
        count = count + seen
    return total / count.clamp(min=1)


@pytest.mark.parametrize("chunk", [back_projection.CHUNK, 50])
def test_features_depths_and_counts_are_the_reference_s(chunk, monkeypatch):
    monkeypatch.setattr(back_projection, "CHUNK", chunk)
    volume, count = back_project(*inputs())
    assert torch.equal(count.float(), tensor(GOLDEN["count"]))
    torch.testing.assert_close(volume, tensor(GOLDEN["volume"]), atol=2e-5, rtol=1e-5)


def test_values_and_gradients_are_those_of_a_plain_computation():
    coords, origins, size, features, projections = inputs()
    features = features.double().requires_grad_()
    origins, projections = origins.double(), projections.double()
    weights = torch.randn(len(coords), features.shape[2], dtype=torch.float64)
    results = []
    for volume in (back_project(coords, origins, size, features,
                                projections)[0][:, :-1], plain_means(coords, origins, size, features, projections)):
        results.append((volume, *torch.autograd.grad((volume * weights).sum(), features)))
    torch.testing.assert_close(*results)
    assert results[0][1].any()


def test_scenes_of_a_batch_are_independent():
    coords, origins, size, features, projections = inputs()
    volume, _ = back_project(coords, origins, size, features, projections)
    for scene in range(len(origins)):
        own, one = coords[coords[:, 0] == scene], slice(scene, scene + 1)
        own[:, 0] = 0
        alone, _ = back_project(own, origins[one], size, features[:, one], projections[:, one])
        torch.testing.assert_close(alone, volume[coords[:, 0] == scene])


def test_voxels_that_no_view_sees_are_zero():
    coords, origins, size, features, projections = inputs()
    volume, count = back_project(coords, origins + 1000, size, features, projections)
    assert not volume.any() and not count.any()


def test_variances_are_those_of_the_views_features():
    features, projections = torch.rand(3, 1, 2, 6, 8), torch.eye(4).repeat(3, 1, 1, 1)
    projections[:, 0, 0, 3] = torch.tensor([0.0, 1.0, 100.0])  # the last view sees nothing
    coords = torch.tensor([[0, 2, 3, 1], [0, 5, 4, 2]])
    both, count = back_project(coords, torch.zeros(1, 3), 1.0, features, projections, variance=True)
    alone = [back_project(coords, torch.zeros(1, 3), 1.0, features[k:k + 1], projections[k:k + 1])[0][:, :2] for k in (0, 1)]
    expected = torch.stack(alone)
    assert count.tolist() == [2, 2]
    torch.testing.assert_close(both[:, :2], expected.mean(0))
    torch.testing.assert_close(both[:, 2:4], expected.var(0, correction=0))
    torch.testing.assert_close(both[:, 4], back_project(coords, torch.zeros(1, 3), 1.0, features, projections)[0][:, 2])
