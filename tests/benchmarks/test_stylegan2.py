import pytest
import torch

from deep3dmap.benchmarks.cases import PRODUCTS, read_networks, vary
from deep3dmap.benchmarks.cost import benchmark, cases_of, measure, prepared_state
from deep3dmap.registry import BACKBONES

CPU = torch.device("cpu")
STYLEGAN2 = cases_of("stylegan2")
WIDTH = dict(size=16, width=8 / 512)
TINY = dict(type="StyleGAN2",
            generator=dict(type="StyleGenerator", style=8, mapping=2, **WIDTH),
            discriminator=dict(type="StyleDiscriminator", **WIDTH),
            r1_every=2,
            input_keys=dict(images="img"))


def test_a_quick_run_measures_all_kinds_of_work_with_growing_amounts(one_process):
    results = benchmark("stylegan2", quick=True, networks=dict(tiny=TINY), device="cpu", write=lambda line: None)
    wanted = [(name, amount) for name, work in STYLEGAN2.work.items() for amount in work.quick]
    assert [(r["name"], r["work"]) for r in results[len(PRODUCTS):]] == wanted
    assert all(r["cpu_seconds"] > 0 for r in results)


def test_twice_the_pictures_take_twice_the_operations(tmp_path):
    torch.save(prepared_state(STYLEGAN2, TINY, CPU, 0, 1, 1e-4), tmp_path / "state.pt")
    case = dict(method="stylegan2", network="tiny", variant="v", state=str(tmp_path / "state.pt"), quick=True,
                rates=dict(float32=1e9, bfloat16=4e9), model=TINY, amp=False, rate=1e-4, unit="pictures")  # yapf: disable
    for name in ("pictures", "inversion", "logits"):
        few, many = (measure(case | dict(name=name, work=work), CPU)["gflop"] for work in (2, 4))
        assert many / few == pytest.approx(2, rel=0.1), name


@pytest.mark.parametrize("name", STYLEGAN2.variants)
def test_every_variant_can_be_built(name):
    changed = vary(read_networks(STYLEGAN2)["faces_64"], STYLEGAN2.variants[name], name)
    with torch.device("meta"):
        networks = [BACKBONES.build(changed["model"][part]) for part in ("generator", "discriminator")]
    assert [network.size for network in networks] == [int(name.partition(",")[0].split("_" if "_" in name else " ")[1])] * 2
    assert changed["amp"] is ("mixed precision" in name)
