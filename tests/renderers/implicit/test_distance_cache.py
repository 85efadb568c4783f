import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.renderers import DistanceCache


def ball(radius):
    return lambda points: points.norm(dim=-1) - radius


def spread(count=500, reach=0.95):
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return points / points.norm(dim=1, keepdim=True) * torch.linspace(0.1, reach, count)[:, None]


def refreshed(cache, *fields):
    for field in fields:
        cache.refresh(field)
    return cache


def test_a_fresh_grid_gives_the_distances_inside_the_bounding_sphere():
    cache = refreshed(DistanceCache(resolution=64), ball(0.6))
    torch.testing.assert_close(cache(spread()), ball(0.6)(spread()), atol=cache.cell / 5, rtol=0)


def test_without_movement_the_band_is_its_margin():
    cache = refreshed(DistanceCache(resolution=32, margin=0.75), ball(0.6), ball(0.6))
    assert cache.band == pytest.approx(0.75 * 2 / 32)


def test_the_band_widens_by_twice_the_movement_between_refreshes():
    cache = refreshed(DistanceCache(resolution=32, margin=0.5), ball(0.6), ball(0.57))
    assert cache.band == pytest.approx(0.5 * 2 / 32 + 2 * 0.03, abs=1e-6)


def test_a_refresh_is_due_at_the_first_step_and_then_once_an_interval():
    cache, asked = DistanceCache(resolution=16, interval=3), []

    def field(points):
        asked.append(step)
        return ball(0.5)(points)

    for step in range(10):  # noqa: B007 - the field notes the step
        cache.update(field)
    assert asked == [0, 3, 6, 9]


def test_a_refresh_reads_the_surface_at_once_and_everything_in_turns():
    cache = refreshed(DistanceCache(resolution=32, parts=4), ball(0.5), ball(0.52))
    near = spread()[(ball(0.52)(spread()).abs() < cache.cell)]
    torch.testing.assert_close(cache(near), ball(0.52)(near), atol=cache.cell / 5, rtol=0)
    far = spread()[ball(0.52)(spread()) > 0.35]
    assert not torch.allclose(cache(far), ball(0.52)(far), atol=0.004)
    refreshed(cache, *[ball(0.52)] * 3)
    torch.testing.assert_close(cache(far), ball(0.52)(far), atol=0.004, rtol=0)


def test_a_refresh_reads_fewer_cells_than_the_first():
    counts = []

    def field(points):
        counts.append(len(points))
        return ball(0.5)(points)

    refreshed(DistanceCache(resolution=64), field, field)
    assert counts[1] < counts[0] / 3


def test_a_refresh_learns_how_far_a_cheaper_way_is_off_near_the_surface():
    cache, exact = DistanceCache(resolution=32), ball(0.5)
    cache.refresh(exact, lambda points: exact(points) + 0.01)
    assert 0.01 <= float(cache.rounding) < 0.02
    cache.refresh(exact)
    assert cache.rounding == 0


def test_a_saved_cache_continues_as_it_was():
    old, new = refreshed(DistanceCache(resolution=16), ball(0.5), ball(0.51)), DistanceCache(resolution=16)
    new.load(old.state())
    for cache in (old, new):
        for _ in range(5):
            cache.update(ball(0.53))
    assert old.band == new.band
    assert torch.equal(old.grid, new.grid)


@pytest.mark.parametrize("state", [{}, DistanceCache(resolution=8).state()], ids=["without one", "of another resolution"])
def test_a_state_that_has_no_such_grid_leaves_the_cache_empty(state):
    cache = refreshed(DistanceCache(resolution=16), ball(0.5))
    cache.load(state)
    assert not cache.filled


@pytest.mark.parametrize("wrong", [{"resolution": 7}, {"interval": 0}, {"parts": 0}, {"margin": 0.0}])
def test_numbers_out_of_range_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=f"{name}={value}"):
        DistanceCache(**wrong)
