import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from deep3dmap.benchmarks.cases import read_networks, vary
from deep3dmap.benchmarks.cost import EvaluationCounter, _Run, benchmark, cases_of, measure, prepared_state
from deep3dmap.benchmarks.idr import batch_of_rays, object_sdf
from deep3dmap.benchmarks.limits import MatrixFlops, fastest, least_seconds, matrix_product
from deep3dmap.errors import ConfigError, Deep3DError
from deep3dmap.registry import FRAMEWORKS
from tests.benchmarks.conftest import in_this_process

CPU = torch.device("cpu")
IDR = cases_of("idr")
TINY = dict(type="IDR",
            geometry=dict(width=32, depth=2, skip=[], frequencies=2, features=8),
            radiance=dict(width=16, depth=1, features=8),
            renderer=dict(type="SphereTracer", samples=16),
            losses=dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss")))
ENCODED, WIDTH = 15, 32
#: Multiplications and additions of one evaluation of TINY's distance.
ONE_EVALUATION = 2 * (ENCODED * WIDTH + WIDTH * WIDTH + WIDTH)


@pytest.fixture(scope="module")
def traced():
    """Results and printed lines of tracing alone, in quick mode and in this process."""
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Run, "_start", in_this_process)
        results = benchmark("idr", quick=True, networks=dict(tiny=TINY), device="cpu", only="trace", write=lines.append)
    return results, lines


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """File of the prepared weights of TINY."""
    path = tmp_path_factory.mktemp("state") / "tiny.pt"
    torch.save(prepared_state(IDR, TINY, CPU, 5, 2, 1e-4), path)
    return path


@pytest.fixture
def cost(state):
    """Measures TINY doing some work, quickly."""
    rates = dict(float32=1e9, bfloat16=4e9)
    case = dict(method="idr", network="tiny", variant="v", model=TINY, amp=False, rate=1e-4, state=str(state), quick=True,
                rates=rates)  # yapf: disable
    return lambda name, work, **changes: measure(dict(case, name=name, work=work, unit=IDR.work[name].unit) | changes, CPU)


def test_the_machines_matrix_products_come_first(traced):
    for result, dtype in zip(traced[0], ("float32", "bfloat16")):
        assert result["name"] == f"matrix_product_{dtype}"
        assert result["gflop"] == pytest.approx(2 * result["work"] * 512 * 512 / 1e9, rel=1e-3)
        assert result["gflop_per_second"] == pytest.approx(result["gflop"] / result["wall_seconds"], rel=1e-3)


def test_a_line_says_what_was_measured_and_what_it_cost(traced):
    results, lines = traced
    assert [json.loads(line) for line in lines] == results
    assert [(r["name"], r["work"], r["unit"]) for r in results[2:]] == [("trace", n, "rays") for n in IDR.work["trace"].quick]
    for result in results[2:]:
        assert (result["network"], result["variant"], result["device"]) == ("tiny", "as configured", "cpu")
        assert result["cpu_seconds"] > 0 and result["wall_seconds"] > 0 and result["threads"] >= 1
        assert result["matmul_share"] > 0 and 10 < result["base_mib"] <= result["peak_mib"]


def test_peak_memory_is_not_that_of_the_process_that_measures(tmp_path):
    ballast, lines = bytearray(2**30), []
    _Run(tmp_path, "idr", {}, "cpu", True, lines.append).measure_products()
    for line in lines:
        assert 10 < json.loads(line)["peak_mib"] < len(ballast) / 2**20


@pytest.mark.parametrize("variants", [("plain", "cached grid"), ("cached grid", "plain")])
def test_a_network_is_prepared_once_as_its_config_has_it_for_all_variants_and_later_calls(variants, tmp_path, monkeypatch):
    cases = []

    def start(run, case, what):
        cases.append(case)
        Path(case["prepare"] if "prepare" in case else case["state"]).touch()
        return {}

    monkeypatch.setattr(_Run, "_start", start)
    monkeypatch.setattr(_Run, "measure_products", lambda self: None)
    for _ in range(2):
        benchmark(networks=dict(tiny=TINY), variants=variants, only="train_step", states=tmp_path, write=lambda line: None)
    prepared, = (case for case in cases if "prepare" in case)
    assert prepared["model"] == TINY
    assert {case["state"] for case in cases if "state" in case} == {prepared["prepare"]}


def test_another_preparation_makes_another_state(tmp_path, monkeypatch):
    run, files = _Run(tmp_path, "idr", dict(n=dict(model=TINY)), "cpu", True, print), set()
    monkeypatch.setattr(_Run, "_start", lambda self, case, what: {})
    wider = TINY | dict(geometry=TINY["geometry"] | dict(width=64))
    for model, rate, quick in ((TINY, 1e-4, True), (wider, 1e-4, True), (TINY, 1e-3, True), (TINY, 1e-4, False)):
        run.quick = quick
        files.add(run._state(dict(network="n", model=model, rate=rate)))
    assert len(files) == 4


def test_twice_the_rays_take_about_twice_the_evaluations(traced):
    few, many = (r["evaluations"] for r in traced[0][2:])
    assert 1.6 < many / few < 2.4


@pytest.mark.parametrize("name", IDR.work)
def test_every_kind_of_work_runs(name, cost):
    result = cost(name, IDR.work[name].quick[0])
    assert result["cpu_seconds"] > 0 and result["gflop"] > 0


def test_operations_are_those_of_the_layers(cost):
    assert cost("evaluate", 1000)["gflop"] == pytest.approx(1000 * ONE_EVALUATION / 1e9, rel=1e-3)
    assert cost("dense_mesh", 8)["gflop"] == pytest.approx(9**3 * ONE_EVALUATION / 1e9, rel=1e-3)


def test_operations_of_gradients_are_counted_as_torch_counts_them():
    framework, batch = FRAMEWORKS.build(TINY), batch_of_rays(64, CPU)
    counts = []
    for counter in (MatrixFlops(), FlopCounterMode(display=False)):
        torch.manual_seed(0)
        with counter:
            framework.parse_losses(framework(batch, mode="loss"))[0].backward()
        counts.append(counter.by_type if isinstance(counter, MatrixFlops) else counter.get_total_flops())
    assert counts[0] == dict(float32=counts[1])


def test_products_in_half_precision_are_counted_apart(cost):
    left, right = torch.randn(4, 5), torch.randn(5, 6)
    with MatrixFlops() as flops, torch.autocast("cpu", dtype=torch.bfloat16):
        left @ right
    assert flops.by_type == dict(bfloat16=2 * 4 * 5 * 6)


def test_the_share_is_the_least_time_over_the_measured_time(cost):
    assert least_seconds(dict(float32=6e9, bfloat16=4e9), dict(float32=2e9, bfloat16=4e9)) == 4.0
    assert least_seconds(dict(float64=1e9), dict(float32=1e9)) is None
    result = cost("evaluate", 1000)
    assert result["matmul_share"] == pytest.approx(result["gflop"] / result["wall_seconds"], rel=2e-3)  # at 1 GFLOP/s


def test_a_large_dense_mesh_is_extrapolated_and_says_so(cost, monkeypatch):
    monkeypatch.setattr("deep3dmap.benchmarks.work.DENSE", 4)
    monkeypatch.setattr("deep3dmap.benchmarks.work.SAMPLE", 500)
    result = cost("dense_mesh", 100)
    assert result["extrapolated"] is True
    assert result["evaluations"] == 101**3
    assert result["gflop"] == pytest.approx(101**3 * ONE_EVALUATION / 1e9, rel=1e-3)
    assert "extrapolated" not in cost("dense_mesh", 4)


def test_a_mean_step_has_its_share_of_the_grids_refreshes(state):
    model = vary(dict(model=TINY), {"model.renderer.cache": dict(resolution=8, interval=7)})["model"]
    framework = FRAMEWORKS.build(model)
    optimizer = torch.load(state, weights_only=True)["optimizer"]
    job = IDR.work["train_step"].job(framework, 64, rate=1e-4, amp=False, optimizer=optimizer)
    job.warm_up()
    refreshes, refresh = [], framework.renderer.cache.refresh
    framework.renderer.cache.refresh = lambda *args: refreshes.append(refresh(*args))
    for _ in range(job.steps):
        job.run()
    assert len(refreshes) == job.steps / 7 == 1


def test_the_preparation_ends_at_the_measured_learning_rate(state):
    optimizer, = torch.load(state, weights_only=True)["optimizer"].values()
    assert [group["lr"] for group in optimizer["param_groups"]] == [1e-4]
    assert {int(moment["step"]) for moment in optimizer["state"].values()} == {2}


def test_evaluations_are_counted_where_gradients_are_not_wanted():
    framework = FRAMEWORKS.build(TINY)
    counter = EvaluationCounter()
    IDR.watch(framework, counter.watched)
    with torch.no_grad():
        framework.geometry.sdf(torch.zeros(5, 3))
        framework.geometry.sdf(torch.zeros(7, 3))
    assert counter.points == 12


def test_the_fastest_of_many_runs_counts():
    times = [fastest(matrix_product(rows, torch.float32, CPU), CPU, 0.05, 0.005)[1] for rows in (16, 1024)]
    assert 0 < times[0] < times[1]


def test_the_objects_mask_shows_the_object():
    batch = batch_of_rays(400, CPU)
    distance = torch.linspace(1.0, 4.0, 3000)
    points = batch["origins"][:, None] + distance[:, None] * batch["directions"][:, None]
    smallest = object_sdf(points.view(-1, 3)).view(400, -1).amin(1)
    clear = smallest.abs() > 3e-3
    assert torch.equal(batch["mask"][clear], smallest[clear] < 0)
    assert 0.2 < batch["mask"].float().mean() < 0.8 and clear.float().mean() > 0.9


def test_fitting_brings_the_network_to_the_object():
    points = torch.rand(2000, 3, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8
    errors = []
    for steps in (0, 60):
        torch.manual_seed(0)
        framework = FRAMEWORKS.build(TINY)
        framework.geometry.load_state_dict(prepared_state(IDR, TINY, CPU, steps, 0, 1e-4)["geometry"])
        with torch.no_grad():
            errors.append((framework.geometry.sdf(points) - object_sdf(points)).abs().mean())
    assert errors[1] < errors[0] / 2


def test_the_networks_are_the_papers_and_the_small_one():
    widths = {name: network["model"]["geometry"]["width"] for name, network in read_networks(IDR).items()}
    assert set(widths) == set(IDR.networks)
    assert widths["published"] == 512 > widths["small"]


@pytest.mark.parametrize("variant", IDR.variants)
def test_every_variant_fits_every_network(variant):
    for network in read_networks(IDR).values():
        changed = vary(network, IDR.variants[variant], variant)
        assert changed["model"]["geometry"] == network["model"]["geometry"]
        assert FRAMEWORKS.build(changed["model"]) is not None


def test_a_variant_changes_what_it_names_and_refuses_an_unknown_key():
    changed = vary(dict(model=TINY, rate=0.5), {"model.renderer.samples": 50, "amp": True})
    assert changed["model"]["renderer"]["samples"] == 50 and changed["amp"] is True and changed["rate"] == 0.5
    assert TINY["renderer"]["samples"] == 16
    with pytest.raises(ConfigError, match="variant 'quicker'.*did you mean 'samples'"):
        vary(dict(model=TINY), {"model.renderer.sample": 50}, "quicker")


def test_the_ablation_measures_the_chosen_variants_on_one_amount(monkeypatch):
    cases = []
    monkeypatch.setattr(_Run, "_start", lambda self, case, what: cases.append(case) or {})
    monkeypatch.setattr(_Run, "measure_products", lambda self: None)
    run = partial(benchmark, networks=dict(tiny=TINY), write=lambda line: None)
    run(ablation=True, only=["train_step", "mesh"], variants=["plain", "slope bound"])
    found = [(c["name"], c["variant"], c["work"], c["model"]["renderer"]["slope_bound"]) for c in cases if "variant" in c]
    assert found == [("train_step", "plain", 2048, None), ("train_step", "slope bound", 2048, 2.0)]


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'idr'"):
        benchmark("idrr")
    with pytest.raises(ConfigError, match="did you mean 'trace'"):
        benchmark("idr", only="tracee")
    with pytest.raises(ConfigError, match="network 'smal': did you mean 'small'"):
        benchmark("idr", networks=["smal"])
    with pytest.raises(ConfigError, match="variant 'plane': did you mean 'plain'"):
        benchmark("idr", variants=["plane"])


def test_work_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(_Run, "measure_products", lambda self: None)
    broken = TINY | dict(renderer=dict(type="SphereTracer", samples=1))
    with pytest.raises(Deep3DError, match="preparing the network 'broken' failed: .*samples=1"):
        benchmark("idr", quick=True, networks=dict(broken=broken), only="mesh", write=lambda line: None)
