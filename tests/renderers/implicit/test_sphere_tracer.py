import math

import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.renderers import SphereTracer
from deep3dmap.renderers.implicit.ray_field import RayField
from deep3dmap.structures import RayBundle
from tests.goldens import files, network_of, tensors, text, tracer_options

CASES = files("idr/ray_tracing_*")


def sphere(x):
    return x.norm(dim=-1) - 0.6


def torus(x):
    return ((x[:, :2].norm(dim=1) - 0.5)**2 + x[:, 2]**2).sqrt() - 0.2


def bumpy(x):
    return 1.6 * (x.norm(dim=1) - 0.55 - 0.08 * (9 * x).sin().prod(1))


def sdf_of(case, golden):
    if case == "network":
        return network_of(tensors(golden, "state/")).sdf
    return torus if case.startswith("torus") else bumpy if case == "bumpy" else sphere


def golden_case(goldens, case):
    golden = goldens(f"idr/ray_tracing_{case}")
    tracer = SphereTracer(**tracer_options(text(golden)))
    directions = torch.from_numpy(golden["ray_dirs"])
    origins = torch.from_numpy(golden["cam_loc"])[:, None].expand_as(directions)
    return golden, tracer, RayBundle(origins.reshape(-1, 3), directions.reshape(-1, 3))


def counted(sdf):
    """An sdf that counts the points it is asked for."""

    def f(x):
        f.points += len(x)
        return sdf(x)

    f.points = 0
    return f


def bundle(origins, directions, **kwargs):
    directions = torch.nn.functional.normalize(torch.tensor(directions), dim=-1)
    return RayBundle(torch.tensor(origins).expand_as(directions), directions, **kwargs)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("case", CASES)
def test_rays_meet_what_the_references_rays_meet(goldens, case, mode):
    golden, tracer, rays = golden_case(goldens, case)
    trace = tracer.trace(sdf_of(case, golden), rays, torch.from_numpy(golden["object_mask"]), mode == "train",
                         torch.from_numpy(golden["uniform_steps"]))
    stable = torch.from_numpy(golden[f"{mode}_stable"])
    expected = {k: torch.from_numpy(golden[f"{mode}_{k}"])[stable] for k in ("mask", "dists", "points")}
    assert torch.equal(trace.hit[stable], expected["mask"])
    torch.testing.assert_close(trace.distance[stable], expected["dists"], atol=5e-5, rtol=0)
    torch.testing.assert_close(trace.points[stable], expected["points"], atol=5e-5, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_marching_leaves_the_references_distances_and_unfinished_rays(goldens, case):
    golden, tracer, rays = golden_case(goldens, case)
    field = RayField(sdf_of(case, golden), rays, 10000)
    interval = torch.from_numpy(golden["sphere_intersections"]).reshape(-1, 2)
    with torch.no_grad():
        march = tracer._march(field, interval, torch.from_numpy(golden["mask_intersect"]).reshape(-1))
    stable = torch.from_numpy(golden["train_stable"] & golden["eval_stable"])
    assert torch.equal(march.unsettled[stable], torch.from_numpy(golden["st_unfinished_start"])[stable])
    torch.testing.assert_close(march.start[stable], torch.from_numpy(golden["st_acc_start"])[stable], atol=5e-5, rtol=0)
    torch.testing.assert_close(march.end[stable], torch.from_numpy(golden["st_acc_end"])[stable], atol=5e-5, rtol=0)


def test_hits_lie_on_the_analytic_sphere():
    rays = bundle([0.0, 0.0, -3.0], [[0.0, 0.0, 1.0], [0.1, 0.05, 1.0], [0.0, 0.19, 1.0]])
    trace = SphereTracer().trace(sphere, rays)
    b, c = (rays.origins * rays.directions).sum(1), 9 - 0.36
    assert trace.hit.all()
    torch.testing.assert_close(trace.distance, -b - (b**2 - c).sqrt(), atol=1e-4, rtol=0)
    torch.testing.assert_close(trace.points, rays.points(trace.distance))


def test_rays_beside_the_surface_report_no_hit():
    trace = SphereTracer().trace(sphere, bundle([0.0, 0.0, -3.0], [[0.0, 0.25, 1.0], [0.0, 3.0, 1.0]]))
    assert not trace.hit.any()


def test_a_training_ray_that_misses_looks_where_the_sdf_is_smallest():
    rays = bundle([0.0, 0.0, -3.0], [[0.0, 0.25, 1.0]])
    trace = SphereTracer().trace(sphere, rays, torch.ones(1, dtype=torch.bool), True, torch.linspace(0, 1, 1001))
    assert trace.distance.item() == pytest.approx(3 / math.sqrt(1 + 0.25**2), abs=2e-3)


def test_a_training_ray_outside_the_bounding_sphere_looks_at_its_point_nearest_to_the_centre():
    trace = SphereTracer().trace(sphere, bundle([0.0, 0.0, -3.0], [[0.0, 4.0, 3.0]]), None, True)
    torch.testing.assert_close(trace.points, torch.tensor([[0.0, 1.44, -1.92]]))


def test_a_missing_mask_means_object_everywhere(goldens):
    golden, tracer, rays = golden_case(goldens, "torus")
    steps = torch.from_numpy(golden["uniform_steps"])
    unmasked = tracer.trace(torus, rays, None, True, steps)
    masked = tracer.trace(torus, rays, torch.ones(len(rays), dtype=torch.bool), True, steps)
    assert torch.equal(unmasked.hit, masked.hit) and torch.equal(unmasked.distance, masked.distance)


def test_random_samples_follow_torchs_seed():
    rays = bundle([0.0, 0.0, -3.0], [[0.0, 0.25, 1.0]])
    distances = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        distances.append(SphereTracer(samples=10).trace(sphere, rays, None, True).distance.item())
    assert distances[0] == distances[1] != distances[2]


def test_evaluations_are_counted_and_no_gradient_is_recorded(goldens):
    golden, tracer, rays = golden_case(goldens, "network")
    sdf = counted(sdf_of("network", golden))
    trace = tracer.trace(sdf, rays, torch.from_numpy(golden["object_mask"]), True)
    assert trace.evaluations == sdf.points
    assert not trace.points.requires_grad


def test_settled_rays_and_rays_outside_the_bounding_sphere_are_not_evaluated():
    # a ball seen along its axis settles in one step from either end: two points to start, two to confirm
    ray = bundle([0.0, 0.0, -3.0], [[0.0, 0.0, 1.0]])
    assert SphereTracer().trace(lambda x: x.norm(dim=1) - 0.5, ray).evaluations == 4
    assert SphereTracer().trace(sphere, bundle([0.0, 0.0, -3.0], [[0.0, 4.0, 3.0]]), None, True).evaluations == 0


def test_mixed_precision_does_not_reach_the_trace(goldens):
    golden, tracer, rays = golden_case(goldens, "network")
    sdf = sdf_of("network", golden)
    full = tracer.trace(sdf, rays)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = tracer.trace(sdf, rays)
    assert torch.equal(full.distance, mixed.distance)


def test_chunks_do_not_change_the_answer(goldens):
    golden, tracer, rays = golden_case(goldens, "bumpy")
    whole = tracer.trace(bumpy, rays)
    tracer.chunk = 7
    pieces = tracer.trace(bumpy, rays)
    torch.testing.assert_close(whole.distance, pieces.distance)
    assert whole.evaluations == pieces.evaluations


def test_near_and_far_choose_between_two_surfaces():
    ray = {"origins": [0.0, 0.0, -3.0], "directions": [[0.0, 0.5, 3.0]]}

    def two_balls(x):
        centers = torch.tensor([[0.0, 0.4, -0.6], [0.0, 0.6, 0.6]])
        return (x[:, None] - centers).norm(dim=2).amin(1) - 0.2

    first = SphereTracer().trace(two_balls, bundle(**ray))
    second = SphereTracer().trace(two_balls, bundle(**ray, near=torch.tensor([3.0])))
    neither = SphereTracer().trace(two_balls, bundle(**ray, near=torch.tensor([2.7]), far=torch.tensor([3.3])))
    assert first.hit and first.distance < 2.5
    assert second.hit and second.distance > 3.3
    assert not neither.hit


def test_a_ray_on_the_object_with_an_empty_interval_misses_and_looks_along_its_whole_length():
    rays = bundle([0.0, 0.0, -3.0], [[0.0, 0.01, 3.0]], near=torch.tensor([2.0]), far=torch.tensor([1.0]))
    trace = SphereTracer().trace(sphere, rays, torch.ones(1, dtype=torch.bool), True)
    assert not trace.hit
    assert trace.distance.item() == pytest.approx(3, abs=0.2)
    assert trace.evaluations == 100


def test_near_and_far_do_not_spare_a_ray_beside_the_object_in_training():
    rays = bundle([0.0, 0.0, -3.0], [[0.0, 0.01, 3.0]], near=torch.tensor([2.0]), far=torch.tensor([1.0]))
    assert SphereTracer().trace(sphere, rays, torch.zeros(1, dtype=torch.bool), True).hit


@pytest.mark.parametrize("case", CASES)
def test_a_slope_bound_spares_evaluations_at_the_same_answer(goldens, case):
    golden, tracer, rays = golden_case(goldens, case)
    mask, steps = torch.from_numpy(golden["object_mask"]), torch.from_numpy(golden["uniform_steps"])
    plain = tracer.trace(sdf_of(case, golden), rays, mask, True, steps)
    tracer.slope_bound = 3.0  # bumpy's slope is below 2.8, those of the others near 1
    spared = tracer.trace(sdf_of(case, golden), rays, mask, True, steps)
    stable = torch.from_numpy(golden["train_stable"])
    assert torch.equal(plain.hit, spared.hit)
    torch.testing.assert_close(plain.distance[stable], spared.distance[stable], atol=1e-6, rtol=0)
    assert spared.evaluations < plain.evaluations


@pytest.mark.parametrize("wrong", [{"radius": 0}, {"chunk": 0}, {"slope_bound": -1}, {"samples": 1}])
def test_parameters_out_of_range_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=f"{name}='?{value}"):
        SphereTracer(**wrong)
