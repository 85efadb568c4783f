"""Outlines of masks, and where rays come nearest to a shape."""

import torch

from deep3dmap.geometry.outlines import lowest_along_rays, outline_points, within_sphere


def disc(size: int, radius: float, x: float, y: float) -> torch.Tensor:
    v, u = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    return (u - x)**2 + (v - y)**2 < radius**2


def rays(count: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 4
    targets = torch.randn(count, 3, generator=generator) * 0.5
    return origins, torch.nn.functional.normalize(targets - origins, dim=1)


def test_the_outline_of_a_disc_is_its_circle_to_half_a_pixel_and_unbiased():
    points = outline_points(disc(64, 20.3, 30.2, 33.4))
    apart = (points - torch.tensor([30.2, 33.4])).norm(dim=1) - 20.3
    assert apart.abs().max() < 0.5 and apart.mean().abs() < 0.05
    assert len(points) >= 2 * torch.pi * 20


def test_the_images_border_is_no_outline():
    points = outline_points(disc(64, 20.0, 0.0, 32.0))
    assert points[:, 0].min() > 0 and len(points)
    assert len(outline_points(torch.ones(8, 8, dtype=torch.bool))) == 0


def test_rays_enter_and_leave_a_sphere_where_geometry_says_and_have_their_nearest_point_if_they_miss():
    origins = torch.tensor([[0.0, 0.0, -3.0], [0.0, 0.6, -3.0], [2.0, 0.0, -3.0], [0.0, 0.0, 0.5]])
    near, far = within_sphere(origins, torch.tensor([[0.0, 0.0, 1.0]]).expand(4, 3), 1.0)
    torch.testing.assert_close(near, torch.tensor([2.0, 2.2, 3.0, 0.0]))
    torch.testing.assert_close(far, torch.tensor([4.0, 3.8, 3.0, 0.5]))


def test_the_lowest_value_along_a_ray_is_the_lines_distance_to_a_ball():
    origins, directions = rays()
    center = torch.tensor([0.1, -0.2, 0.15])
    expected = torch.linalg.cross(center - origins, directions).norm(dim=1) - 0.4
    near, far = within_sphere(origins, directions, 1.5)
    points, values = lowest_along_rays(lambda p: (p - center).norm(dim=1) - 0.4, origins, directions, near, far)
    torch.testing.assert_close(values, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close((points - center).norm(dim=1) - 0.4, values)
    assert torch.linalg.cross(points - origins, directions).norm(dim=1).max() < 1e-5


def test_more_rounds_find_lower_values():
    origins, directions = rays()
    near, far = within_sphere(origins, directions, 1.0)
    found = [lowest_along_rays(lambda p: p.norm(dim=1), origins, directions, near, far, 8, rounds)[1] for rounds in (0, 2)]
    assert (found[1] <= found[0]).all() and found[1].sum() < found[0].sum() - 0.1
