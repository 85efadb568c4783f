"""Neighbours and farthest points, against the fixture and against all distances."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry import nearest as module
from deep3dmap.geometry.nearest import cloud_counts, farthest_points, gather, nearest, within_radius
from tests.goldens import cases, read, tensor

NAME = "render/points"
BALLS = cases(NAME, "ball_(.+)_idx")
NEAREST = cases(NAME, "(knn_.+)_upstream")


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[1]))


def clouds(golden, lengths):
    """The fixture's two batches, which record gradients, and the numbers of their points for cases with lengths."""
    x, y = (tensor(golden[f"cham_{side}"]).requires_grad_() for side in "xy")
    counts = [golden[f"cham_{side}_lengths"].astype(int).tolist() if lengths else None for side in "xy"]
    return x, y, counts


def check(golden, case, found, x, y):
    """Distances, indices and gradients are the fixture's (whose missing neighbours of ``nearest`` have index 0)."""
    expected = tensor(golden[f"{case}_idx"]).long()
    torch.testing.assert_close(found.index.clamp(min=expected.min()), expected)
    torch.testing.assert_close(found.distances, tensor(golden[f"{case}_dists"]), atol=1e-6, rtol=1e-5)
    (found.distances * tensor(golden[f"{case}_upstream"])).sum().backward()
    for side, points in ("x", x), ("y", y):
        torch.testing.assert_close(points.grad, tensor(golden[f"{case}_grad_{side}"]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("case", NEAREST)
def test_the_nearest_points_match_the_references(case):
    golden = read(NAME)
    x, y, (many, few) = clouds(golden, "len" in case or "short" in case)
    dists = golden[f"{case}_dists"]
    if "short" in case:  # its own lengths are not recorded: some clouds have fewer points than there are neighbours
        most = (dists > 0).sum(-1).max(1).tolist()
        few = [count if count < dists.shape[2] else full for count, full in zip(most, few)]
    found = nearest(x, y, dists.shape[2], norm=1 if "norm1" in case else 2, query_counts=many, point_counts=few)
    check(golden, case, found, x, y)
    expected = tensor(golden[f"{case}_nn"]) * (found.index >= 0)[..., None]
    torch.testing.assert_close(gather(y, found.index), expected)


def test_the_nearest_points_in_the_plane_match_the_references():
    golden = read(NAME)
    found = nearest(tensor(golden["knn_2d_x"]), tensor(golden["knn_2d_y"]), golden["knn_2d_idx"].shape[2])
    torch.testing.assert_close(found.index, tensor(golden["knn_2d_idx"]).long())
    torch.testing.assert_close(found.distances, tensor(golden["knn_2d_dists"]))


@pytest.mark.parametrize("case", BALLS)
def test_points_within_a_radius_match_the_references(case):
    golden = read(NAME)
    x, y, (many, few) = clouds(golden, "len" in case)
    k, radius = golden[f"ball_{case}_K_radius"]
    found = within_radius(x, y, int(k), float(radius), query_counts=many, point_counts=few)
    check(golden, f"ball_{case}", found, x, y)


@pytest.mark.parametrize("case", cases(NAME, "fps_(.+)_idx"))
def test_farthest_points_match_the_references(case):
    golden = read(NAME)
    x, _, (counts, _) = clouds(golden, "len" in case)
    k = golden[f"fps_{case}_K"].tolist() if "len" in case else golden[f"fps_{case}_idx"].shape[1]
    points, index = farthest_points(x, k, counts=counts)
    torch.testing.assert_close(index, tensor(golden[f"fps_{case}_idx"]).long())
    torch.testing.assert_close(points, tensor(golden[f"fps_{case}_points"]))
    points.sum().backward()
    assert torch.equal(x.grad[..., 0], torch.zeros(x.shape[:2]).scatter_add_(1, index.clamp(min=0), (index >= 0).float()))


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("dimensions", [3, module.TREE_DIMENSIONS + 1])
def test_a_tree_finds_what_all_distances_show(monkeypatch, norm, dimensions):
    monkeypatch.setattr(module, "CHUNK", 100)
    queries, points = (random(1, n, dimensions) for n in (40, 30))
    found = nearest(queries, points, 30, norm=norm)
    apart = (queries[:, :, None] - points[:, None]).abs().pow(norm).sum(-1).sort(-1)
    torch.testing.assert_close(found.distances, apart.values)
    assert torch.equal(found.index, apart.indices)
    assert torch.equal(module._search_all(queries[0], points[0], 30, norm), apart.indices[0])


def test_distances_are_differentiable():
    x, y = (random(2, n, 3).double().requires_grad_() for n in (6, 9))
    assert torch.autograd.gradcheck(lambda x, y: nearest(x, y, 3).distances, (x, y))
    assert torch.autograd.gradcheck(lambda x, y: nearest(x, y, 3, norm=1).distances, (x, y))
    assert torch.autograd.gradcheck(lambda x, y: within_radius(x, y, 4, 1.5).distances, (x, y))
    assert torch.autograd.gradcheck(lambda x: farthest_points(x, 4)[0], (x, ))


def test_padding_is_ignored():
    x, y = random(2, 5, 3), torch.ones(2, 4, 3)
    x[0, 3:], y[1, 1:] = torch.nan, torch.inf
    for batch in (x, y):
        batch.requires_grad_()
    counts = dict(query_counts=[3, 5], point_counts=torch.tensor([4, 1]))
    for found in nearest(x, y, 2, **counts), within_radius(x, y, 2, 9.0, **counts):
        assert (found.index[0, 3:] == -1).all() and (found.index[1, :, 1] == -1).all() and (found.index[:, :3, 0] >= 0).all()
        found.distances.sum().backward()
        assert x.grad.isfinite().all() and y.grad.isfinite().all() and not x.grad[0, 3:].any()


def test_empty_clouds_have_no_neighbours():
    found = nearest(torch.zeros(1, 2, 3), torch.zeros(1, 0, 3), 2)
    assert (found.index == -1).all() and not found.distances.any()
    assert (within_radius(torch.zeros(1, 2, 3), torch.zeros(1, 0, 3), 2, 1.0).index == -1).all()
    assert (farthest_points(torch.zeros(1, 3, 3), 2, counts=[0])[1] == -1).all()


def test_a_point_at_the_radius_is_not_within_it():
    index = within_radius(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 1.0], [0.0, 0.5]]]), 2, 1.0).index
    assert index.tolist() == [[[1, -1]]]


def test_the_first_of_equally_far_points_is_next():
    square = torch.tensor([[[0.0, 0], [0, 1], [1, 0], [1, 1]]])
    assert farthest_points(square, 4)[1].tolist() == [[0, 3, 1, 2]]
    assert farthest_points(square, 2, starts=[2])[1].tolist() == [[2, 1]]


@pytest.mark.parametrize("change, named", [
    (dict(k=0), "k must"), (dict(norm=3), "norm must|norm"), (dict(points=torch.zeros(2, 4, 3)), "queries and points"),
    (dict(points=torch.zeros(1, 4, 2)), "queries and points"), (dict(queries=torch.full((1, 2, 3), torch.nan)), "queries has"),
    (dict(points=torch.full((1, 2, 3), torch.inf)), "points has"), (dict(query_counts=[3]), "queries must"),
    (dict(point_counts=[-1]), "points must"), (dict(point_counts=[1, 1]), "points must"),
])  # yapf: disable
def test_wrong_arguments_of_searches_are_named(change, named):
    arguments = dict(queries=torch.zeros(1, 2, 3), points=torch.zeros(1, 4, 3), k=1) | change
    with pytest.raises((ValueError, TypeError) if "norm" in change else ValueError, match=named):
        nearest(**arguments)


@pytest.mark.parametrize("change, named", [
    (dict(k=0), "k must"), (dict(k=[1, 2]), "k must"), (dict(starts=[4]), "starts must"),
    (dict(points=torch.full((1, 2, 3), torch.nan)), "points has"),
])  # yapf: disable
def test_wrong_arguments_of_farthest_points_are_named(change, named):
    with pytest.raises(ValueError, match=named):
        farthest_points(**(dict(points=torch.zeros(1, 4, 3), k=1) | change))


@pytest.mark.parametrize("k, radius", [(0, 1.0), (1, 0.0), (1, np.nan)])
def test_wrong_radii_are_named(k, radius):
    with pytest.raises(ValueError, match="k must be 1 or more and radius positive"):
        within_radius(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3), k, radius)


def test_clouds_of_another_shape_are_refused():
    with pytest.raises((ValueError, TypeError)):
        cloud_counts(torch.zeros(4, 3), None, "points")
