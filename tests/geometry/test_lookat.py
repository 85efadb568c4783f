import math

import pytest
import torch

from deep3dmap.geometry.lookat import camera_path, look_at, orbit, short_tour, sphere_of_cameras
from deep3dmap.geometry.rotations import rotation_angle_error


def centers_of(world_to_cam):
    return -(world_to_cam[:, :, :3].transpose(1, 2) @ world_to_cam[:, :, 3:])[..., 0]


def in_camera(world_to_cam, point):
    return world_to_cam[:, :, :3] @ torch.as_tensor(point).to(world_to_cam) + world_to_cam[:, :, 3]


def assert_rigid(world_to_cam):
    R = world_to_cam[:, :, :3]
    torch.testing.assert_close(R @ R.transpose(1, 2), torch.eye(3).to(R).expand_as(R), atol=1e-5, rtol=0)
    assert (torch.linalg.det(R) > 0).all()


def test_a_camera_on_the_z_axis_has_known_axes():
    world_to_cam = look_at(torch.tensor([[0.0, 0.0, 5.0]]), up=(0.0, 1.0, 0.0))
    expected = torch.tensor([[[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 5]]])
    torch.testing.assert_close(world_to_cam, expected)


def test_the_target_lies_on_the_optical_axis_at_its_distance():
    centers = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0.3, -0.2, 0.5])
    seen = in_camera(look_at(centers, target), target)
    expected = torch.zeros(9, 3)
    expected[:, 2] = (centers - target).norm(dim=-1)
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)


def test_what_is_up_in_the_world_is_up_in_the_image():
    world_to_cam = look_at(torch.tensor([[3.0, 1.0, 0.5], [-2.0, 0.0, -1.0]]))
    above = in_camera(world_to_cam, [0.0, 0.0, 0.2])
    assert (above[:, 1] < 0).all()
    torch.testing.assert_close(above[:, 0], torch.zeros(2), atol=1e-6, rtol=0)


def test_a_camera_that_looks_along_up_is_still_a_rotation():
    world_to_cam = look_at(torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]]))
    assert_rigid(world_to_cam)
    torch.testing.assert_close(in_camera(world_to_cam, [0.0, 0, 0]), torch.tensor([[0.0, 0, 2], [0, 0, 2]]))


def test_cameras_on_a_sphere_keep_their_distance_and_balance_around_the_target():
    world_to_cam = sphere_of_cameras(64, 2.5, target=(1.0, 2.0, 3.0))
    assert_rigid(world_to_cam)
    offsets = centers_of(world_to_cam) - torch.tensor([1.0, 2.0, 3.0])
    torch.testing.assert_close(offsets.norm(dim=-1), torch.full((64, ), 2.5), atol=1e-4, rtol=0)
    assert offsets.mean(0).norm() < 0.05


def test_cameras_on_a_sphere_have_no_near_twins():
    directions = centers_of(sphere_of_cameras(100, 1.0))
    angles = torch.rad2deg(torch.acos((directions @ directions.T).clamp(-1, 1)).fill_diagonal_(9.0))
    assert angles.min() > 0.75 * math.degrees(math.sqrt(4 * math.pi / 100))


def test_elevations_bound_the_band_of_cameras():
    up = torch.tensor([0.0, 1.0, 0.0])
    heights = centers_of(sphere_of_cameras(30, 1.0, elevations=(10.0, 60.0), up=(0.0, 1.0, 0.0))) @ up
    elevations = torch.rad2deg(torch.asin(heights))
    assert 10 < elevations.min() < 14 and 55 < elevations.max() < 60


def test_an_orbit_goes_once_around_in_equal_steps():
    centers = centers_of(orbit(8, 3.0, elevation=30.0))
    torch.testing.assert_close(centers[:, 2], torch.full((8, ), 1.5), atol=1e-5, rtol=0)
    steps = (centers - centers.roll(1, 0)).norm(dim=-1)
    torch.testing.assert_close(steps, torch.full((8, ), 2 * 3 * math.cos(math.pi / 6) * math.sin(math.pi / 8)))


@pytest.mark.parametrize("call, message", [(lambda: look_at(torch.zeros(1, 3)), "should look at"),
                                           (lambda: camera_path(orbit(1, 1.0), 5), "two cameras"),
                                           (lambda: orbit(4, 1.0, elevation=95.0), "elevation"),
                                           (lambda: sphere_of_cameras(4, -1.0), "positive distance")])  # yapf: disable
def test_impossible_cameras_rings_and_paths_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_open_path_passes_its_keys_and_starts_and_ends_there():
    keys = sphere_of_cameras(4, 2.0)
    path = camera_path(keys, 31)
    torch.testing.assert_close(path[::10], keys, atol=1e-5, rtol=1e-5)


def test_a_path_has_no_jumps_in_place_or_direction():
    path = camera_path(orbit(5, 2.0, elevation=20.0), 200, closed=True)
    assert_rigid(path)
    around = torch.cat([path, path[:1]])
    steps = centers_of(around).diff(dim=0).norm(dim=-1)
    turns = rotation_angle_error(around[1:, :, :3], around[:-1, :, :3])
    assert steps.max() < 1.3 * steps.min()
    assert turns.max() < 1.5 * turns.min()


def test_a_closed_path_through_an_orbit_stays_near_the_circle():
    centers = centers_of(camera_path(orbit(8, 2.0), 64, closed=True))
    torch.testing.assert_close(centers.norm(dim=-1), torch.full((64, ), 2.0), atol=0.01, rtol=0)


@pytest.mark.parametrize("closed", [True, False])
def test_a_tour_of_cameras_in_any_order_visits_neighbours_one_after_the_other(closed):
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    angle = 2 * math.pi / (12 if closed else 24) * order
    tour = order[short_tour(torch.stack([angle.cos(), angle.sin(), 0 * angle], 1), closed)].tolist()
    steps = {(b - a) % 12 if closed else abs(b - a) for a, b in zip(tour, tour[1:])}
    assert sorted(tour) == list(range(12)) and (steps in ({1}, {11}) if closed else len(steps - {1}) <= 1)


def test_a_tour_does_not_hang_on_rounding():
    angle = 2 * math.pi / 12 * torch.arange(12).double()
    ring = torch.stack([angle.cos(), angle.sin(), 0 * angle], 1)
    tours = [short_tour(ring + 1e-9 * torch.randn(12, 3, generator=torch.Generator().manual_seed(k)), True) for k in range(8)]
    assert all(tour == list(range(12)) for tour in tours)
