import pytest
import torch

from deep3dmap.geometry.intersections import sphere_intersection
from tests.goldens import cases


@pytest.mark.parametrize("tenths", cases("idr/rend_util", r"si_r(\d+)_t"))
def test_distances_to_a_sphere_agree_with_the_reference(goldens, tenths):
    z, name, radius = goldens("idr/rend_util"), f"si_r{tenths}", int(tenths) / 10
    directions = torch.from_numpy(z["si_ray_dirs"])
    origins = torch.from_numpy(z["si_cam_loc"])[:, None].expand_as(directions)
    distances, hit = sphere_intersection(origins.reshape(-1, 3), directions.reshape(-1, 3), radius)
    assert torch.equal(hit, torch.from_numpy(z[f"{name}_mask"]).reshape(-1))
    torch.testing.assert_close(distances, torch.from_numpy(z[f"{name}_t"]).reshape(-1, 2), atol=1e-5, rtol=0)


def test_crossing_points_lie_on_the_sphere():
    generator = torch.Generator().manual_seed(0)
    origins = 3 * torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=-1)
    directions = torch.nn.functional.normalize(0.3 * torch.randn(50, 3, generator=generator) - origins, dim=-1)
    distances, hit = sphere_intersection(origins, directions, 0.8)
    points = origins[hit, None] + distances[hit][..., None] * directions[hit, None]
    assert hit.any()
    torch.testing.assert_close(points.norm(dim=-1), torch.full((int(hit.sum()), 2), 0.8), atol=1e-4, rtol=0)


def test_rays_that_miss_have_no_hit_and_what_lies_behind_has_distance_zero():
    distances, hit = sphere_intersection(torch.tensor([[0.0, 2.0, -5.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert not hit.any() and (distances == 0).all()
    distances, hit = sphere_intersection(torch.tensor([[0.0, 0.0, 0.5]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert hit.all()
    torch.testing.assert_close(distances, torch.tensor([[0.0, 0.5]]))
    distances, _ = sphere_intersection(torch.tensor([[0.0, 0.0, 5.0]]), torch.tensor([[0.0, 0.0, 1.0]]))
    assert (distances == 0).all()
    with pytest.raises(ValueError, match="positive"):
        sphere_intersection(torch.zeros(1, 3), torch.ones(1, 3), 0.0)
