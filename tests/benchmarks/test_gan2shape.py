import pytest
import torch

from deep3dmap.benchmarks.cases import PRODUCTS, read_networks, vary
from deep3dmap.benchmarks.cost import benchmark, cases_of, measure, prepared_state
from deep3dmap.benchmarks.gan2shape import stages
from deep3dmap.registry import FRAMEWORKS
from tests.frameworks.gan2shape.test_training import model

CPU = torch.device("cpu")
GAN2SHAPE = cases_of("gan2shape")


def test_a_quick_run_measures_all_kinds_of_work_with_growing_amounts(one_process):
    results = benchmark("gan2shape", quick=True, networks=dict(tiny=model()), device="cpu", write=lambda line: None)
    wanted = [(name, amount) for name, work in GAN2SHAPE.work.items() for amount in work.quick]
    assert [(r["name"], r["work"]) for r in results[len(PRODUCTS):]] == wanted
    assert all(r["cpu_seconds"] > 0 for r in results)


def test_a_whole_runs_operations_are_those_of_all_its_steps(tmp_path):
    torch.save(prepared_state(GAN2SHAPE, model(), CPU, 0, 0, 1e-4), tmp_path / "state.pt")
    case = dict(method="gan2shape", network="tiny", variant="v", state=str(tmp_path / "state.pt"), quick=True, unit="pictures",
                rates=dict(float32=1e9, bfloat16=4e9), model=model(), amp=False, rate=1e-4)  # yapf: disable

    def gflop(name, amount):
        return measure(case | dict(name=name, work=amount), CPU)["gflop"]

    assert gflop("depth_gradients", 4) == pytest.approx(4 * gflop("depth_gradients", 1), rel=0.05)
    assert gflop("projection", 4) == pytest.approx(2 * gflop("projection", 2), rel=0.3)  # and one of the known picture
    samples = {name: model()["samples"] for name in ("views", "projection", "shape")}
    names = {stage.name.removeprefix("mirrored_") for stage in stages()}
    steps = {name: gflop(name, samples.get(name, 1)) for name in names}
    expected = sum(stage.max_steps * steps[stage.name.removeprefix("mirrored_")] for stage in stages())
    assert 0.8 * expected < gflop("whole_run", 50) < 1.6 * expected  # mirrored steps, and collected pictures, cost more


@pytest.mark.parametrize("name", GAN2SHAPE.variants)
def test_every_variant_can_be_built(name):
    base = read_networks(GAN2SHAPE)["small"]
    changed = vary(base, GAN2SHAPE.variants[name], name)
    prepared = base["model"] | {key: changed["model"][key] for key in GAN2SHAPE.parts}
    for parts in (changed["model"], prepared):
        with torch.device("meta"):
            framework = FRAMEWORKS.build(parts)
        assert framework.renderer.size == int(name.partition(",")[0].split()[1] if " " in name.partition(",")[0] else 64)
    assert changed["amp"] is ("mixed precision" in name)
