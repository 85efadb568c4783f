"""Photographs beside cameras that fit them and cameras that do not: a textured wall and a disc before it, drawn exactly."""

from dataclasses import replace

import pytest
import torch

from deep3dmap.datasets.captures.photo_checks import Photographs, photo_consistency, photo_warnings
from deep3dmap.geometry.lookat import look_at
from deep3dmap.structures import Cameras, Capture

SIZE, VIEWS = (160, 200), 7


def texture(points):
    """Colours that differ from place to place: a sum of many waves."""
    generator = torch.Generator().manual_seed(0)
    waves = 14 * torch.randn(3, 60, generator=generator, dtype=torch.float64)
    phases = 6 * torch.rand(60, 3, generator=generator, dtype=torch.float64)
    return ((points @ waves)[..., None] + phases).sin().mean(-2) * 2.5 + 0.5


def photograph(cameras):
    """Two textured planes, one in front of the other, seen by cameras."""
    v, u = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    uv = torch.stack([u, v], -1).reshape(-1, 2).double() + 0.5
    images = []
    for view in range(len(cameras)):
        rays = cameras.rays(torch.full((len(uv), ), view), uv)
        at = [rays.origins + ((z - rays.origins[:, 2:]) / rays.directions[:, 2:]) * rays.directions for z in (0.0, 0.6)]
        near = at[1][:, :2].norm(dim=1) < 0.5
        images.append(texture(torch.where(near[:, None], at[1], at[0])).clamp(0, 1).mul(255).to(torch.uint8).view(*SIZE, 3))
    return torch.stack(images)


@pytest.fixture(scope="module")
def capture():
    centers = torch.tensor([[0.25 * (k - 3), 0.2 * (k % 3 - 1), 3.0 + 0.1 * (k % 2)] for k in range(VIEWS)]).double()
    K = torch.tensor([[220.0, 0, SIZE[1] / 2], [0, 220, SIZE[0] / 2], [0, 0, 1]]).double().repeat(VIEWS, 1, 1)
    cameras = Cameras(K, look_at(centers, torch.zeros(3).double()), SIZE)
    return Capture(photograph(cameras), cameras, tuple(f"view_{k}" for k in range(VIEWS)))


def with_cameras(capture, K=None, poses=None):
    cameras = capture.cameras
    K, poses = cameras.K if K is None else K, cameras.world_to_cam if poses is None else poses
    return replace(capture, cameras=Cameras(K, poses, SIZE))


def warned(capture):
    return photo_warnings(Photographs.of(capture))


def scaled(K, focal=1.0, right=0.0):
    K = K.clone()
    K[:, :2, :2] *= focal
    K[:, 0, 2] += right
    return K


def test_true_cameras_fit_to_a_fraction_of_a_pixel(capture):
    fits = photo_consistency(Photographs.of(capture))
    assert len(fits) > VIEWS and max(fit.distance for fit in fits) < 0.75
    assert not warned(capture)


@pytest.mark.parametrize("fault", [
    lambda c: with_cameras(c, K=scaled(c.cameras.K, right=16.0)),
    lambda c: replace(c, images=c.images.flip(2)),
    lambda c: replace(c, images=c.images.flip(0)),
])  # yapf: disable
def test_cameras_that_fit_no_photograph_are_reported_together(capture, fault):
    found, = warned(fault(capture))
    assert "pairs of views" in found


@pytest.mark.parametrize("moved, expected", [([3], ["view_3"]), ([1, 5], ["view_1", "view_5"])])
def test_views_that_alone_contradict_the_others_are_named(capture, moved, expected):
    poses = capture.cameras.world_to_cam.clone()
    poses[moved, 1, 3] += 0.15  # 5 % of the distance
    found, = warned(with_cameras(capture, poses=poses))
    assert found.startswith(", ".join(expected) + ":")


def test_exchanged_cameras_are_named(capture):
    order = [0, 4, 2, 3, 1, 5, 6]
    found, = warned(with_cameras(capture, poses=capture.cameras.world_to_cam[order]))
    assert found.startswith("view_1, view_4:")


def test_photographs_without_texture_carry_no_information(capture):
    wrong = with_cameras(capture, K=scaled(capture.cameras.K, right=16.0))
    assert not warned(replace(wrong, images=torch.full_like(capture.images, 128)))


def test_features_outside_the_masks_do_not_count(capture):
    masks = torch.zeros(VIEWS, *SIZE, dtype=torch.bool)
    masks[:, 60:100, 80:120] = True
    photographs = Photographs.of(replace(capture, masks=masks))
    assert all((abs(uv - [100, 80]) <= 21).all() for uv in photographs.pixels)


def test_a_single_photograph_carries_no_information(capture):
    assert not warned(capture.subset([0]))
