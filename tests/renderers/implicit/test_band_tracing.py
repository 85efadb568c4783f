"""Tracing through a cached grid against its plain twin, the same tracer without a cache."""

import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.renderers import SphereTracer
from deep3dmap.structures import RayBundle
from tests.renderers.implicit.test_sphere_tracer import CASES, bumpy, bundle, counted, golden_case, sdf_of, sphere, torus

MOVED = [0.0, 0.01, 0.03]
GRAZING = 2e-3  # a ray that comes no nearer to the surface from outside, and no deeper into it, may hit or miss


def rays_around(count=4000, distance=2.0, reach=0.9):
    """Rays from all sides, aimed at points within ``reach`` of the centre."""
    generator = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * distance
    aims = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * reach
    aims = aims * torch.rand(count, 1, generator=generator)**(1 / 3)
    return RayBundle(origins, torch.nn.functional.normalize(aims - origins, dim=1))


def cached(**options):
    return SphereTracer(samples=100, cache=dict(resolution=64) | options)


def plain():
    return SphereTracer(samples=1000, iterations=0)


def wrong_hits(ours, exact, mask):
    return ((ours.hit ^ exact.hit) & mask).float().mean()


def depth(sdf, rays: RayBundle) -> torch.Tensor:
    """The lowest value of an sdf along each ray, within the unit sphere and before the camera."""
    points = rays.origins[:, None] + torch.linspace(0, 4, 2000)[:, None] * rays.directions[:, None]
    return sdf(points.reshape(-1, 3)).reshape(points.shape[:2]).where(points.norm(dim=-1) < 1, torch.inf).amin(1)


@pytest.mark.parametrize("sdf", [sphere, torus, bumpy])
def test_rays_meet_what_they_meet_without_a_cache(sdf):
    rays, everywhere = rays_around(), torch.ones(4000, dtype=torch.bool)
    exact, ours = plain().trace(sdf, rays), cached().trace(sdf, rays, everywhere, True)
    assert wrong_hits(ours, exact, everywhere) < 0.001
    both = ours.hit & exact.hit
    assert (ours.distance - exact.distance)[both].abs().quantile(0.999) < 5e-4
    assert sdf(ours.points[ours.hit]).abs().max() < 5e-4


@pytest.mark.parametrize("case", CASES)
def test_rays_meet_what_the_references_rays_meet(goldens, case):
    golden, tracer, rays = golden_case(goldens, case)
    mask, sdf = torch.from_numpy(golden["object_mask"]), sdf_of(case, golden)
    with_cache = SphereTracer(tracer.radius, tracer.sdf_threshold, samples=tracer.samples, cache=dict(resolution=64))
    trace = with_cache.trace(sdf, rays, mask, True, torch.from_numpy(golden["uniform_steps"]))
    stable, expected = torch.from_numpy(golden["train_stable"]) & mask, torch.from_numpy(golden["train_mask"])
    other = stable & (trace.hit != expected)
    assert (depth(sdf, RayBundle(rays.origins[other], rays.directions[other])).abs() < GRAZING).all()
    hit = stable & trace.hit & expected
    error = (trace.distance - torch.from_numpy(golden["train_dists"])).abs()[hit]
    assert error.quantile(0.95) < 1e-4
    assert error.max() < 0.01  # of grazing rays too, where the sdf hardly tells distances apart


@pytest.mark.parametrize("sdf", [sphere, torus, bumpy])
def test_rays_that_should_miss_look_deeper_than_as_many_samples_at_random_do(sdf):
    rays, nowhere = rays_around(), torch.zeros(4000, dtype=torch.bool)
    torch.manual_seed(0)
    deepest, sampled, ours = (t.trace(sdf, rays, nowhere, True) for t in (plain(), SphereTracer(samples=100), cached()))
    excess, of_samples = (sdf(trace.points) - sdf(deepest.points) for trace in (ours, sampled))
    assert excess.median() < 1e-4
    assert excess.mean() < 0.9 * of_samples.mean()


@pytest.mark.parametrize("moved", MOVED)
def test_hits_stay_right_while_the_surface_moves_as_it_did_before_the_refresh(moved):
    """The grid knows a smaller ball; the band knows how fast it grows."""
    tracer, rays, everywhere = cached(interval=100), rays_around(), torch.ones(4000, dtype=torch.bool)
    for radius in (0.5, 0.5 + moved):
        tracer.cache.refresh(lambda points, radius=radius: points.norm(dim=1) - radius)
    now = lambda points: points.norm(dim=1) - (0.5 + 2 * moved)  # noqa: E731 - the field as it is after an interval
    exact, ours = plain().trace(now, rays), tracer.trace(now, rays, everywhere, True)
    assert wrong_hits(ours, exact, everywhere) < 0.002
    assert (ours.distance - exact.distance)[ours.hit & exact.hit].abs().quantile(0.999) < 5e-4


def test_a_plate_thinner_than_a_cell_is_seen():
    """All cell centres lie outside of it."""

    def plate(points):
        beyond = torch.stack([points[:, 0].abs() - 0.5, points[:, 1].abs() - 0.5, points[:, 2].abs() - 0.004], 1)
        return beyond.clamp(min=0).norm(dim=1) + beyond.amax(1).clamp(max=0)

    tracer, rays = cached(margin=1.0), rays_around(reach=0.4)
    steep = RayBundle(rays.origins[rays.directions[:, 2].abs() > 0.3], rays.directions[rays.directions[:, 2].abs() > 0.3])
    exact = SphereTracer(samples=4000, iterations=0).trace(plate, steep)
    snapshot = tracer.snapshot(plate, 10**6)
    ours = tracer.trace(plate, steep, cache=snapshot)
    assert snapshot.grid.min() > 0
    assert (ours.hit & exact.hit).sum() > 0.95 * exact.hit.sum()


def test_the_network_is_asked_a_tenth_as_often():
    rays, mask = rays_around(), torch.rand(4000, generator=torch.Generator().manual_seed(1)) < 0.5
    tracer, sdf = cached(), counted(bumpy)
    tracer.trace(sdf, rays, mask, True)
    sdf.points = 0
    assert tracer.trace(sdf, rays, mask, True).evaluations == sdf.points
    without = SphereTracer(samples=100).trace(bumpy, rays, mask, True)
    assert sdf.points < 0.1 * without.evaluations


def test_the_network_is_not_asked_behind_the_first_sample_inside():
    """A ray through a ball asks about half of the band around the first side, and nothing of the other."""
    sdf, tracer, rays = counted(sphere), cached(margin=4.0), rays_around(reach=0.1)
    everywhere = torch.ones(4000, dtype=torch.bool)
    tracer.trace(sdf, rays, everywhere, True)
    sdf.points, samples_in_half_a_band = 0, tracer.cache.band / (2 / 100)
    trace = tracer.trace(sdf, rays, everywhere, True)
    assert trace.hit.all()
    assert sdf.points < (samples_in_half_a_band + 4 + 5) * 4000


def rough(sdf, error):
    """The sdf, off by up to ``error`` within autocast, as a network is; counts what it is asked in float32."""

    def field(points):
        if torch.is_autocast_enabled("cpu"):
            return (sdf(points) + error * (1000 * points).sin().prod(1)).bfloat16()
        field.exact += len(points)
        return sdf(points)

    field.exact = 0
    return field


@pytest.mark.parametrize("sdf", [sphere, torus, bumpy])
@pytest.mark.parametrize("beside", [False, True])
def test_within_autocast_rays_meet_and_look_deepest_where_they_do_in_float32(sdf, beside):
    rays, mask, steps = rays_around(), torch.full((4000, ), not beside), torch.full((100, ), 0.3)
    tracers = exact, mixed = cached(margin=2.0), cached(margin=2.0)
    fields, traces = [rough(sdf, 0.005) for _ in tracers], []
    for tracer, field, enabled in zip(tracers, fields, (False, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            tracer.update_cache(field)
            tracer.cache.drift.fill_(0.02)  # as if the surface had moved
            field.exact = 0
            traces.append(tracer.trace(field, rays, mask, True, steps))
    assert 0.005 < float(mixed.cache.rounding) < 0.02
    assert exact.cache.rounding == 0
    assert torch.equal(traces[0].hit, traces[1].hit)
    difference = (traces[0].distance - traces[1].distance).abs()
    assert (difference[traces[0].hit & mask] < 1e-3).all()
    torch.testing.assert_close(sdf(traces[1].points), sdf(traces[0].points), atol=5e-3, rtol=0)
    assert fields[1].exact < 0.7 * fields[0].exact


def test_in_training_a_ray_that_only_grazes_between_samples_misses():
    """Its hit would move without bound as the surface moves."""
    graze = bundle([0.0, 0.599999, -3.0], [[0.0, 0.0, 1.0]])
    tracer = cached()
    trained = tracer.trace(sphere, graze, torch.ones(1, dtype=torch.bool), True, torch.zeros(100))
    assert not trained.hit
    assert sphere(trained.points).item() == pytest.approx(-1e-6, abs=5e-7)
    assert tracer.trace(sphere, graze, cache=tracer.snapshot(sphere, 10**6)).hit


def test_rays_beside_the_bounding_sphere_look_at_their_point_nearest_to_it():
    ray = bundle([0.0, 0.0, -3.0], [[0.0, 4.0, 3.0]])
    trace = cached().trace(sphere, ray, torch.zeros(1, dtype=torch.bool), True)
    assert trace.distance.item() == pytest.approx(9 / 5, abs=1e-5)
    assert not trace.hit


def test_a_camera_inside_the_object_sees_the_surface_at_once():
    trace = cached().trace(sphere, bundle([0.0, 0.0, 0.0], [[0.0, 0.0, 1.0]]), torch.ones(1, dtype=torch.bool), True)
    assert trace.hit
    assert trace.distance.item() < 0.02


def test_near_and_far_narrow_the_search():
    ray = dict(origins=[0.0, 0.0, -3.0], directions=[[0.0, 0.0, 1.0]])
    beyond = cached().trace(sphere, bundle(**ray, far=torch.tensor([2.0])), torch.ones(1, dtype=torch.bool), True)
    assert not beyond.hit


def test_a_snapshot_serves_many_rays_and_is_not_made_for_few_or_without_a_cache():
    tracer, rays = cached(), rays_around()
    assert tracer.snapshot(bumpy, 100) is None
    snapshot = tracer.snapshot(bumpy, 10**6)
    exact, ours = plain().trace(bumpy, rays), tracer.trace(bumpy, rays, cache=snapshot)
    assert wrong_hits(ours, exact, torch.ones_like(ours.hit)) < 0.001
    assert not tracer.cache.filled
    tracer = SphereTracer()
    tracer.update_cache(sphere)
    assert tracer.snapshot(sphere, 10**6) is None
    with pytest.raises((ConfigError, TypeError), match="size"):
        SphereTracer(cache=dict(size=64))
