import json

import pytest

from deep3dmap.apis.benchmark import NETWORKS, WORK, benchmark
from deep3dmap.engine.config import load_config
from deep3dmap.errors import ConfigError, Deep3DError
from deep3dmap.registry import FRAMEWORKS

TINY = dict(type="IDR",
            geometry=dict(width=32, depth=2, skip=[], frequencies=2, features=8),
            radiance=dict(width=16, depth=1, features=8),
            renderer=dict(type="SphereTracer", samples=16),
            losses=dict(rgb=dict(type="ColorLoss"), eikonal=dict(type="EikonalLoss"), mask=dict(type="MaskLoss")))


@pytest.fixture(scope="module")
def traced():
    """Results and printed lines of tracing alone, in quick mode."""
    lines = []
    return benchmark("idr", quick=True, networks=dict(tiny=TINY), device="cpu", only="trace", write=lines.append), lines


def test_every_measurement_is_a_line_of_json(traced):
    results, lines = traced
    assert [json.loads(line) for line in lines] == results
    assert [r["rays"] for r in results] == list(WORK["trace"][2])


def test_a_line_says_what_was_measured_and_what_it_cost(traced):
    for result in traced[0]:
        assert result["name"] == "trace" and result["network"] == "tiny" and result["device"] == "cpu"
        assert result["cpu_seconds"] > 0 and result["wall_seconds"] > 0 and result["threads"] >= 1
        assert result["peak_mib"] >= result["base_mib"] > 10


def test_twice_the_rays_take_about_twice_the_evaluations(traced):
    few, many = (r["evaluations"] for r in traced[0])
    assert 1.6 < many / few < 2.4


@pytest.mark.parametrize("name", ["train_step", "forward_backward", "mesh", "render_view"])
def test_every_kind_of_work_runs(name, monkeypatch):
    from deep3dmap.apis.benchmark import measure
    unit, _, little = WORK[name]
    result = measure(dict(name=name, network="tiny", model=TINY, unit=unit, amount=little[0], device="cpu", repeats=1))
    assert result[unit] == little[0] and result["cpu_seconds"] > 0


def test_the_networks_are_the_papers_and_the_small_one():
    sizes = {name: load_config(path).model for name, path in NETWORKS["idr"].items()}
    assert sizes["published"].geometry.width == 512 and sizes["small"].geometry.width < 512
    assert all(FRAMEWORKS.build(model.to_dict()) is not None for model in sizes.values())


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'idr'"):
        benchmark("idrr")
    with pytest.raises(ConfigError, match="did you mean 'trace'"):
        benchmark("idr", only="tracee")


def test_work_that_fails_is_named():
    broken = TINY | dict(renderer=dict(type="SphereTracer", samples=1))
    with pytest.raises(Deep3DError, match="mesh with resolution=16 of the network 'broken' failed: .*samples=1"):
        benchmark("idr", quick=True, networks=dict(broken=broken), only="mesh", write=lambda line: None)
