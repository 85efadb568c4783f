"""Orthographic cameras against their formula; what every kind of camera promises, of both kinds."""

import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.structures import Cameras, OrthographicCameras

KINDS = pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])


def cameras(kind, count=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    K = torch.tensor([[90.0, 3.0, 31.0], [0.0, 80.0, 22.0], [0.0, 0.0, 1.0]], dtype=dtype).repeat(count, 1, 1)
    R = torch.tensor(Rotation.random(count, rng=4).as_matrix(), dtype=dtype)
    t = torch.randn(count, 3, 1, generator=g, dtype=dtype) + torch.tensor([0.0, 0.0, 6.0], dtype=dtype)[:, None]
    return kind(K, torch.cat([R, t], -1), (48, 64))


def points(count=7):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_orthographic_pixels_are_those_of_the_formula_whatever_the_depth():
    views, world = cameras(OrthographicCameras), points()
    in_camera = world @ views.rotations.transpose(1, 2) + views.world_to_cam[:, None, :, 3]
    expected = in_camera[..., :2] @ views.K[:, :2, :2].transpose(1, 2) + views.K[:, None, :2, 2]
    pixels, depth = views.project(world)
    torch.testing.assert_close(pixels, expected)
    torch.testing.assert_close(depth, in_camera[..., 2])
    pushed, _ = views[0].project(world + 5 * views.axes[0])
    torch.testing.assert_close(pushed, pixels[:1])


def test_orthographic_rays_are_parallel_unit_and_start_at_depth_zero():
    views = cameras(OrthographicCameras)
    rays = views.view_rays(1)
    torch.testing.assert_close(rays.directions, views.axes[1].expand(48 * 64, 3))
    assert views[1].project(rays.origins)[1].abs().max() < 1e-12


@KINDS
def test_projections_give_the_pixels(kind):
    views, world = cameras(kind), points()
    x = world @ views.projections[:, :, :3].transpose(1, 2) + views.projections[:, None, :, 3]
    torch.testing.assert_close(x[..., :2] / x[..., 2:], views.project(world)[0])


@KINDS
def test_points_along_a_ray_are_seen_at_its_pixel(kind):
    views, uv = cameras(kind), torch.tensor([[0.5, 0.5], [40.0, 13.25], [63.0, 47.0]], dtype=torch.float64)
    rays = views.rays(torch.arange(3), uv)
    seen = views.project(rays.points(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)))[0]
    torch.testing.assert_close(seen[torch.arange(3), torch.arange(3)], uv)


@KINDS
def test_parts_copies_and_changed_cameras_stay_of_their_kind(kind):
    views = cameras(kind)
    changed = [views[0], views[1:], views[[0, 2]], views.to(torch.float32), views.resized((24, 32)),
               views.transformed(torch.eye(4, dtype=torch.float64))]  # yapf: disable
    assert {type(view) for view in changed} == {kind}
    assert kind.orthographic == (kind is OrthographicCameras)


@KINDS
def test_a_similarity_of_the_world_and_the_cameras_leaves_pixels_and_scales_depths(kind):
    views, world = cameras(kind), points()
    similarity = torch.eye(4, dtype=torch.float64)
    similarity[:3, :3] = 2.5 * torch.tensor(Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix())
    similarity[:3, 3] = torch.tensor([1.0, 2.0, 3.0])
    pixels, depth = views.project(world)
    moved, moved_depth = views.transformed(similarity).project(world @ similarity[:3, :3].T + similarity[:3, 3])
    torch.testing.assert_close(moved, pixels)
    torch.testing.assert_close(moved_depth, 2.5 * depth)


@KINDS
def test_resized_images_show_points_at_scaled_pixels(kind):
    views, world = cameras(kind), points()
    scaled = views.resized((96, 32)).project(world)[0]
    torch.testing.assert_close(scaled, views.project(world)[0] * torch.tensor([0.5, 2.0], dtype=torch.float64))


@KINDS
def test_gradients_of_pixels_reach_points_and_cameras(kind):
    views, world = cameras(kind, 2), points(3)

    def project(world, K, poses):
        return kind(K, poses, (48, 64)).project(world)

    inputs = [value.clone().requires_grad_() for value in (world, views.K, views.world_to_cam)]
    assert torch.autograd.gradcheck(project, inputs)
