import numpy as np
import pytest
import torch

from deep3dmap.geometry.epipolar import camera_centers
from deep3dmap.geometry.lookat import look_at, sphere_of_cameras
from deep3dmap.geometry.normalization import (
    bounding_sphere,
    nearest_point_to_axes,
    normalization_from_box,
    normalization_from_cameras,
    normalization_from_hull,
    normalization_from_masks,
    refine_by_carving,
    sphere_from_silhouette_depths,
)
from tests.goldens import files

SETS = [f"preprocess_{name}" for name in files("idr/preprocess_*")]


def moved(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("name", SETS)
def test_the_silhouette_step_agrees_with_the_reference(goldens, name, fixture_views):
    z = goldens(f"idr/{name}")
    center, scale = sphere_from_silhouette_depths(*fixture_views(z), permutation=torch.from_numpy(z["permutation_first"]))
    np.testing.assert_allclose(center, z["unrefined_center"], rtol=1e-4)
    np.testing.assert_allclose(scale, z["unrefined_scale"], rtol=1e-4)


@pytest.mark.parametrize("name", SETS)
def test_carving_agrees_with_the_reference(goldens, name, fixture_views):
    z = goldens(f"idr/{name}")
    center, scale, points = refine_by_carving(*fixture_views(z), torch.from_numpy(z["unrefined_center"]),
                                              float(z["unrefined_scale"]), int(z["minimal_views"]), int(z["grid_size"]))
    assert points == z["hull_points_count"]
    np.testing.assert_allclose(center, z["scale_mat"][:3, 3], rtol=1e-5)
    np.testing.assert_allclose(scale, z["scale_mat"][0, 0], rtol=1e-5)


@pytest.mark.parametrize("name", SETS)
def test_normalization_from_masks_inverts_the_references_scale_matrix(goldens, name, fixture_views):
    z = goldens(f"idr/{name}")
    matrix = normalization_from_masks(*fixture_views(z), int(z["minimal_views"]), int(z["grid_size"]),
                                      permutation=torch.from_numpy(z["permutation_first"]))  # yapf: disable
    np.testing.assert_allclose(torch.linalg.inv(matrix), z["scale_mat"], rtol=1e-4)


@pytest.mark.parametrize("views, expected", [(44, 40), (45, 45), (47, 45), (64, 45), (16, 14), (2, 2)])
def test_a_point_must_be_seen_by_the_references_45_views_or_their_share_of_fewer(ball, views, expected):
    masks, P = ball.views(views, size=(24, 32), focal=36.0)
    default, asked, one_less = (refine_by_carving(masks, P, ball.center, 1.0, count, 24)[2]
                                for count in (None, expected, expected - 1 or 1))
    assert default == asked < one_less


def test_the_same_generator_gives_the_same_normalization(ball):
    first, second, other = (normalization_from_masks(*ball.views(12), generator=torch.Generator().manual_seed(s), pixels=20)
                            for s in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_another_photograph_from_the_first_ones_place_changes_nothing(ball):
    masks, P = ball.views(6)
    permutation = torch.arange(0, 1000, 50)
    once = sphere_from_silhouette_depths(masks, P, permutation)
    twice = sphere_from_silhouette_depths(torch.cat([masks, masks[:1]]), torch.cat([P, P[:1]]), permutation)
    torch.testing.assert_close(twice, once)


def test_the_hulls_ball_gets_the_wished_radius_at_the_origin(ball):
    matrix = normalization_from_hull(*ball.views(), margin=1.25)
    torch.testing.assert_close(moved(matrix, ball.center[None])[0], torch.zeros(3).double(), atol=0.02, rtol=0)
    assert 0.93 / 1.25 < ball.radius * matrix[0, 0] < 1 / 1.25


@pytest.mark.parametrize("scale, offset", [(1e-3, 0.0), (1e3, 5e3)])
def test_normalization_from_the_hull_does_not_depend_on_the_worlds_unit_or_origin(scale, offset, ball):
    masks, P = ball.views(10)
    world = torch.eye(4).double() / scale
    world[:3, 3], world[3, 3] = -offset / scale, 1
    points = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    matrix = normalization_from_hull(masks, P @ world, resolution=48)
    expected = moved(normalization_from_hull(masks, P, resolution=48), points)
    torch.testing.assert_close(moved(matrix, scale * points + offset), expected, atol=1e-3, rtol=1e-3)


def test_every_ray_through_the_real_temples_masks_meets_the_unit_sphere(temple):
    masks, P = temple
    P = P @ torch.linalg.inv(normalization_from_hull(masks, P))
    view, v, u = masks.nonzero()[::50].unbind(1)
    pixels = torch.stack([u + 0.5, v + 0.5, torch.ones_like(u)], -1).double()
    directions = torch.nn.functional.normalize((torch.linalg.inv(P[:, :, :3])[view] @ pixels[..., None])[..., 0], dim=-1)
    passing = torch.linalg.cross(camera_centers(P)[view], directions).norm(dim=-1)
    assert 0.75 < passing.max() < 1 / 1.1 + 0.02


def test_axes_that_meet_are_met():
    poses = sphere_of_cameras(7, 3.0, target=(1.0, 2.0, 3.0))
    torch.testing.assert_close(nearest_point_to_axes(poses), torch.tensor([1.0, 2, 3]).double(), atol=1e-5, rtol=0)


def test_cameras_alone_put_their_target_at_the_origin_and_the_nearest_at_its_distance():
    poses = look_at(torch.tensor([[5.0, 0, 1], [0, 4, 1], [-7, 0, 2]]), target=(0.5, 0.5, 0.5))
    matrix = normalization_from_cameras(poses, camera_distance=3.0)
    centers = -(poses[:, :, :3].transpose(1, 2) @ poses[:, :, 3:])[..., 0].double()
    assert moved(matrix, torch.tensor([[0.5, 0.5, 0.5]]).double()).norm() < 1e-5
    torch.testing.assert_close(moved(matrix, centers).norm(dim=-1).min(), torch.tensor(3.0).double(), atol=1e-5, rtol=0)


def test_a_boxs_corners_come_to_lie_inside_the_sphere():
    lower, upper = torch.tensor([1.0, -2, 3]), torch.tensor([2.0, 5, 3.5])
    corners = moved(normalization_from_box(lower, upper, margin=1.25), torch.stack([lower, upper]).double())
    torch.testing.assert_close(corners.norm(dim=-1), torch.full((2, ), 0.8).double())
    torch.testing.assert_close(corners[0], -corners[1])


def test_the_bounding_sphere_is_nearly_the_smallest():
    points = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    points = torch.tensor([3.0, 2, 1]) + 2 * torch.cat([points, 0.3 * points])
    center, radius = bounding_sphere(points)
    assert (points - center).norm(dim=-1).max() <= radius * (1 + 1e-6)
    assert 1.99 < radius < 2.02


def emptied(masks, view):
    masks = masks.clone()
    masks[view] = False
    return masks


def with_a_corner(masks):
    masks = emptied(masks, 1)
    masks[1, 2:6, 2:6] = True
    return masks


@pytest.mark.parametrize("normalize", [normalization_from_hull, normalization_from_masks])
@pytest.mark.parametrize("change, message", [(lambda masks, P: (emptied(masks, 2), P), r"views \[2\] are empty"),
                                             (lambda masks, P: (masks[:1], P[:1]), "two or more views"),
                                             (lambda masks, P: (masks, P[:3]), "6 masks but 3"),
                                             (lambda masks, P: (with_a_corner(masks), P), "overlap")])  # yapf: disable
def test_silhouettes_that_are_empty_too_few_unpaired_or_apart_are_refused(normalize, change, message, ball):
    with pytest.raises(ValueError, match=message):
        normalize(*change(*ball.views(6)))


def test_parallel_cameras_are_refused():
    poses = torch.eye(3, 4).repeat(3, 1, 1)
    poses[:, 0, 3] = torch.arange(3.0)
    with pytest.raises(ValueError, match="parallel"):
        normalization_from_cameras(poses)


def test_a_hull_that_no_grid_point_hits_is_refused(ball):
    masks, P = ball.views()
    with pytest.raises(ValueError, match="lies in"):
        refine_by_carving(masks, P, ball.center + 10, 0.5)
