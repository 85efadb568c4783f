import igl
import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.benchmarks.cases import PRODUCTS, read_networks, vary
from deep3dmap.benchmarks.cost import EvaluationCounter, benchmark, build, cases_of, measure, prepared_state
from deep3dmap.benchmarks.deepsdf import SHAPE, SHAPES, batch_of_samples, box, ring
from deep3dmap.registry import FRAMEWORKS

CPU = torch.device("cpu")
DEEPSDF = cases_of("deepsdf")
CODE, WIDTH = 8, 32
TINY = dict(type="DeepSDF",
            decoder=dict(code_length=CODE, dims=[WIDTH] * 3, latent_in=[], dropout=[0, 1, 2], norm_layers=[0, 1, 2]),
            losses=dict(sdf=dict(type="ClampedSDFLoss"), code=dict(type="CodeLoss", weight=1e-4)))
#: Multiplications and additions of one evaluation of TINY, the code's share left out.
ONE_EVALUATION = 2 * (3 * WIDTH + 2 * WIDTH * WIDTH + WIDTH)


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """File of the prepared weights of TINY."""
    path = tmp_path_factory.mktemp("state") / "tiny.pt"
    torch.manual_seed(0)
    torch.save(prepared_state(DEEPSDF, TINY, CPU, 300, 2, 1e-4), path)
    return path


@pytest.fixture
def cost(state):
    """Measures TINY doing some work, quickly."""
    case = dict(method="deepsdf", network="tiny", variant="v", model=TINY, amp=False, rate=1e-4, state=str(state), quick=True,
                rates=dict(float32=1e9, bfloat16=4e9))  # yapf: disable
    return lambda name, work, **changes: measure(dict(case, name=name, work=work, unit=DEEPSDF.work[name].unit) | changes, CPU)


def test_a_quick_run_measures_all_kinds_of_work_with_growing_amounts(one_process):
    results = benchmark("deepsdf", quick=True, networks=dict(tiny=TINY), device="cpu", write=lambda line: None)
    assert [r["name"] for r in results[:2]] == list(PRODUCTS)
    wanted = [(name, amount) for name, work in DEEPSDF.work.items() for amount in work.quick]
    assert [(r["name"], r["work"]) for r in results[2:]] == wanted
    assert {(r["method"], r["network"], r["variant"]) for r in results[2:]} == {("deepsdf", "tiny", "as configured")}


@pytest.mark.parametrize("variant", DEEPSDF.variants)
@pytest.mark.parametrize("name", [name for name, work in DEEPSDF.work.items() if work.ablation])
def test_every_variant_of_the_ablation_runs(name, variant, cost):
    changed = vary(dict(model=TINY), DEEPSDF.variants[variant], variant)
    result = cost(name, DEEPSDF.work[name].quick[0], model=changed["model"], amp=changed["amp"])
    assert result["cpu_seconds"] > 0 and result["gflop"] > 0


def test_operations_are_those_of_the_layers(cost):
    assert cost("evaluate", 1000)["gflop"] == pytest.approx(1000 * ONE_EVALUATION / 1e9, rel=1e-3)
    result = cost("dense_mesh", 16)
    assert result["evaluations"] == 17**3
    assert result["gflop"] == pytest.approx(17**3 * ONE_EVALUATION / 1e9, rel=1e-3)


def test_fitting_a_code_takes_no_gradients_of_weights(cost):
    """Forward and backward through the layers is twice the products of forward, and not three times."""
    per_sample = cost("fit_step", 200)["gflop"] * 1e9 / 200
    hidden = 2 * (2 * WIDTH * WIDTH + WIDTH)
    assert 2 * hidden < per_sample < 2.5 * hidden


def test_twice_the_samples_take_twice_the_operations(cost):
    for name in ("train_step", "fit_step"):
        few, many = (cost(name, work)["gflop"] for work in (1600, 3200))
        assert many / few == pytest.approx(2, rel=0.05)


def test_evaluations_are_counted_where_a_shape_is_asked_for_distances():
    framework, counter = build(DEEPSDF, TINY, CPU), EvaluationCounter()
    expected = framework.decoder.field(framework.code_of(0))(torch.ones(5, 3))
    DEEPSDF.watch(framework, counter.watched)
    field = framework.decoder.field(framework.code_of(0))
    assert torch.equal(field(torch.ones(5, 3)), expected)
    field(torch.zeros(7, 3))
    assert counter.points == 12


def test_the_prepared_shape_has_a_surface_between_inside_and_outside(state):
    framework, stored = build(DEEPSDF, TINY, CPU), torch.load(state, weights_only=True)
    for part in DEEPSDF.parts:
        getattr(framework, part).load_state_dict(stored[part])
    batch = batch_of_samples(500, CPU)
    with torch.no_grad():
        found = framework.eval()(batch, mode="tensor")["sdf"]
    clear = batch["sdf"].abs() > 0.05
    assert clear.float().mean() > 0.3
    assert (found.sign() == batch["sdf"].sign())[clear].float().mean() > 0.8
    assert len(framework.extract_mesh(32, shape=SHAPE).faces) > 100


def test_distances_to_the_shapes_are_those_to_their_meshes():
    points = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    meshes = {box: (dict(x=0.3, y=0.4, z=0.5), trimesh.creation.box((0.6, 0.8, 1.0)), 1e-4),
              ring: (dict(radius=0.6, thickness=0.2), trimesh.creation.torus(0.6, 0.2, 128, 64), 2e-3)}  # yapf: disable
    for sdf, (sizes, mesh, tolerance) in meshes.items():
        expected = igl.signed_distance(points.double().numpy(), mesh.vertices, mesh.faces.astype(np.int64))[0]
        np.testing.assert_allclose(sdf(points, **sizes).numpy(), expected, atol=tolerance, err_msg=sdf.__name__)


def test_a_batch_has_as_many_samples_inside_as_outside_of_every_shape():
    batch = batch_of_samples(100, CPU)
    assert batch["points"].shape == (len(SHAPES), 100, 3)
    assert ((batch["sdf"] < 0).sum(1) == 50).all()
    for points, sdf, field in zip(batch["points"], batch["sdf"], SHAPES.values()):
        torch.testing.assert_close(field(points), sdf)


def test_the_network_is_the_papers():
    published = read_networks(DEEPSDF)["published"]
    assert published["model"]["decoder"]["dims"] == [512] * 8 and published["amp"] is False


@pytest.mark.parametrize("variant", DEEPSDF.variants)
def test_a_variant_leaves_the_network_as_it_is(variant):
    published = read_networks(DEEPSDF)["published"]
    changed = vary(published, DEEPSDF.variants[variant], variant)
    assert changed["model"]["decoder"] == published["model"]["decoder"]
    assert FRAMEWORKS.build(changed["model"]).step_chunk in (None, 2)
