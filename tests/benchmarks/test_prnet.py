import pytest
import torch

from deep3dmap.benchmarks.cases import PRODUCTS, read_networks, vary
from deep3dmap.benchmarks.cost import benchmark, cases_of, measure, prepared_state
from deep3dmap.registry import FRAMEWORKS

CPU = torch.device("cpu")
PRNET = cases_of("prnet")
TINY = dict(type="PRNet",
            backbone=dict(type="ResFCN", size=1, resolution=128, variant="compact"),
            losses=dict(position=dict(type="PositionMapLoss", size=128)),
            input_keys=dict(image="img", position_map="target", crop="crop"))


@pytest.fixture
def cost(tmp_path):
    """Measures TINY doing some work, quickly."""

    def run(name, work, **changes):
        changed = vary(dict(model=TINY), changes)
        torch.save(prepared_state(PRNET, changed["model"], CPU, 0, 1, 1e-4), tmp_path / "state.pt")
        case = dict(method="prnet", network="tiny", variant="v", state=str(tmp_path / "state.pt"), quick=True, name=name,
                    rates=dict(float32=1e9, bfloat16=4e9), work=work, unit=PRNET.work[name].unit)  # yapf: disable
        return measure(case | changed, CPU)

    return run


def test_a_quick_run_measures_all_kinds_of_work_with_growing_amounts(one_process):
    results = benchmark("prnet", quick=True, networks=dict(tiny=TINY), device="cpu", write=lambda line: None)
    wanted = [(name, amount) for name, work in PRNET.work.items() for amount in work.quick]
    assert [(r["name"], r["work"]) for r in results[len(PRODUCTS):]] == wanted
    assert all(r["cpu_seconds"] > 0 for r in results)


def test_twice_the_pictures_take_twice_the_operations(cost):
    for name in ("maps", "train_step"):
        few, many = (cost(name, work)["gflop"] for work in (1, 2))
        assert many / few == pytest.approx(2, rel=0.05)


def test_twice_the_channels_take_about_four_times_the_operations(cost):
    few, many = (cost("maps_of_size", size)["gflop"] for size in (4, 8))
    assert 3 < many / few < 4.1


def test_larger_kernels_take_more_operations(cost):
    port, official = (cost("maps", 1, **{"model.backbone.variant": name})["gflop"] for name in ("port", "official"))
    assert 1.2 * port < official < 16 / 9 * port


@pytest.mark.parametrize("name", PRNET.variants)
def test_every_variant_can_be_built(name):
    changed = vary(read_networks(PRNET)["small"], PRNET.variants[name], name)
    framework = FRAMEWORKS.build(changed["model"])
    assert framework.backbone.resolution == framework.layout.size == (128 if name.startswith("small") else 256)
    assert changed["amp"] is ("mixed precision" in name)
