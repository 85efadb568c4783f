import numpy as np
import pytest
import torch

from deep3dmap.geometry.epipolar import (
    camera_centers,
    epipolar_depth_ranges,
    epipolar_distances,
    fundamental_matrices,
    triangulate,
)
from deep3dmap.geometry.lookat import sphere_of_cameras
from tests.goldens import files

SETS = [f"preprocess_{name}" for name in files("idr/preprocess_*")]


def two_views():
    K = torch.tensor([[400.0, 1.0, 160], [0, 410, 120], [0, 0, 1]]).double()
    return K @ sphere_of_cameras(2, 3.0).double()


def seen(P, points):
    x = points @ P[:, :3].T + P[:, 3]
    return x[:, :2] / x[:, 2:]


def some_points():
    return 0.5 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("name", SETS)
def test_fundamental_matrices_agree_with_the_reference(goldens, name):
    z = goldens(f"idr/{name}")
    P, expected = torch.from_numpy(z["world_mats"][:, :3]), torch.from_numpy(z["fundamental_scaled"])
    F = fundamental_matrices(P[0], P[1:])
    F = F / F.flatten(1).norm(dim=1)[:, None, None]
    F = F * (F * expected).sum((1, 2)).sign()[:, None, None]
    centers = camera_centers(P)
    apart = (centers[1:] - centers[0]).norm(dim=-1) > 1e-9  # the temple's 1st and 11th photographs have one camera: no epipole
    assert apart.sum() > len(P) / 2
    torch.testing.assert_close(F[apart], expected[apart], atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", SETS)
def test_depth_ranges_agree_with_the_reference(goldens, name):
    z = goldens(f"idr/{name}")
    other, shape = int(z["depth_camera"]), tuple(z["masks_shape"])
    mask = np.unpackbits(z["masks_packed"])[:np.prod(shape)].reshape(shape)[other]
    P = torch.from_numpy(z["world_mats"][:, :3])
    silhouette = torch.from_numpy(mask).nonzero().flip(1).double()
    ranges = epipolar_depth_ranges(torch.from_numpy(z["depth_pixels"]).double(), P[0], P[other], silhouette)
    np.testing.assert_allclose(ranges, z["depth_min_max"], rtol=1e-6)


def test_points_lie_on_their_epipolar_lines():
    P = two_views()
    first, second = (torch.cat([seen(view, some_points()), torch.ones(20, 1)], -1) for view in P)
    lines = first @ fundamental_matrices(P[0], P[1:])[0].T
    off = (lines / lines[:, :2].norm(dim=-1, keepdim=True) * second).sum(-1)
    torch.testing.assert_close(off, torch.zeros(20).double(), atol=1e-8, rtol=0)


def test_the_epipolar_distance_is_the_larger_of_the_distances_to_both_lines():
    P = two_views()
    first, second = (seen(view, some_points()) for view in P)
    F, back = fundamental_matrices(P[0], P[1:])[0], fundamental_matrices(P[1], P[:1])[0]
    torch.testing.assert_close(epipolar_distances(F, first, second), torch.zeros(20).double(), atol=1e-8, rtol=0)
    moved = second + torch.tensor([2.0, -3.0])
    both = []
    for matrix, source, target in ((F, first, moved), (back, moved, first)):
        lines = torch.nn.functional.pad(source, (0, 1), value=1.0) @ matrix.T
        both.append(((lines[:, :2] * target).sum(1) + lines[:, 2]).abs() / lines[:, :2].norm(dim=1))
    torch.testing.assert_close(epipolar_distances(F, first, moved), torch.maximum(*both))


def test_triangulation_finds_the_points_again():
    P = two_views()
    found = triangulate(P[0].expand(20, 3, 4), P[1].expand(20, 3, 4), seen(P[0], some_points()), seen(P[1], some_points()))
    torch.testing.assert_close(found, some_points(), atol=1e-9, rtol=0)


def test_a_line_that_misses_the_silhouette_has_no_range():
    P = two_views()
    ranges = epipolar_depth_ranges(seen(P[0], some_points()), P[0], P[1], torch.tensor([[1e5, 1e5]]).double())
    assert ranges.isnan().all()


def test_the_range_of_one_matching_pixel_is_its_depth():
    P, point = two_views(), some_points()[:1]
    ranges = epipolar_depth_ranges(seen(P[0], point), P[0], P[1], seen(P[1], point))
    depth = point @ P[0, 2, :3] + P[0, 2, 3]
    torch.testing.assert_close(ranges, depth[:, None].expand(1, 2))


def test_matches_behind_the_source_camera_count_for_nothing():
    P, point = two_views(), some_points()[:1]
    center = camera_centers(P[0])
    match = seen(P[1], center - 0.3 * (point - center))
    assert epipolar_depth_ranges(seen(P[0], point), P[0], P[1], match).isnan().all()
    both = epipolar_depth_ranges(seen(P[0], point), P[0], P[1], torch.cat([match, seen(P[1], point)]))
    torch.testing.assert_close(both, (point @ P[0, 2, :3] + P[0, 2, 3])[:, None].expand(1, 2))
