"""The whole network against NeuralRecon's, with the fixture's weights."""

import pytest
import torch
from torch import Tensor

from deep3dmap.backbones import MnasMulti, SparseUNet
from deep3dmap.frameworks.neuralrecon.network import NeuralReconNetwork, truth_at
from deep3dmap.frameworks.neuralrecon.published import from_published
from deep3dmap.losses import LogL1Loss, OccupancyLoss
from tests.frameworks.neuralrecon.fixture import assert_same_rows, fragment
from tests.goldens import cases, read, tensor
from tests.neuralrecon import published_state

GOLDEN = read("neuralrecon/network")
FRAGMENTS = sorted(map(int, cases("neuralrecon/network", r"f(\d+)_vol_origin")))
LEVELS = sorted(map(int, cases("neuralrecon/network", r"f0_l(\d+)_tsdf")))


def network(**options) -> NeuralReconNetwork:
    settings = dict(voxel_size=float(GOLDEN["voxel_size"]), size=GOLDEN["n_vox"].tolist()) | options
    return NeuralReconNetwork(MnasMulti(), SparseUNet(), **settings)


def inputs(k: int) -> dict:
    return fragment(GOLDEN, k) | dict(images=tensor(GOLDEN[f"f{k}_imgs"]).float())


def stored(k: int, name: str) -> Tensor:
    return tensor(GOLDEN[f"f{k}_{name}"])


@pytest.fixture(scope="module")
def published() -> NeuralReconNetwork:
    net = network()
    net.load_state_dict(from_published(published_state(int(GOLDEN["seed"]))))
    return net.eval()


@pytest.fixture(scope="module")
def outputs(published) -> list[dict]:
    """Of all fragments, one after another."""
    with torch.no_grad():
        return [published(inputs(k)) for k in FRAGMENTS]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("k", FRAGMENTS)
def test_voxels_occupancies_and_distances_are_the_reference_s(k, level, outputs):
    found = outputs[k]["levels"][level]
    theirs = [stored(k, f"l{level}_{name}") for name in ("out_coords", "tsdf", "occ")]
    assert_same_rows((found["coords"], found["tsdf"], found["occupancy"]), tuple(theirs), 2e-3)


@pytest.mark.parametrize("k", FRAGMENTS)
def test_the_losses_are_the_reference_s(k, outputs):
    losses = OccupancyLoss(), LogL1Loss()
    for level, found in enumerate(outputs[k]["levels"]):
        ours = sum(float(loss.of_level(found)) for loss in losses)
        assert ours == pytest.approx(float(stored(k, f"tsdf_occ_loss_{level}")), rel=2e-3)
    total = sum(float(loss(outputs[k], {})) for loss in losses)
    assert total == pytest.approx(float(stored(k, "total_loss")), rel=2e-3)


@pytest.mark.parametrize("k", FRAGMENTS)
def test_the_distances_at_the_end_are_the_reference_s(k, outputs):
    assert_same_rows((outputs[k]["coords"], outputs[k]["tsdf"]), (stored(k, "coords"), stored(k, "tsdf")), 2e-3)


def test_the_scene_holds_the_distances_of_all_fragments(published, outputs):
    coords, tsdf, origin = published.tsdf_fusion.scene
    last = FRAGMENTS[-1]
    low = ((stored(last, "scene_origin") - origin) / published.voxel_size).round().long()
    volume = torch.ones(stored(last, "scene_tsdf_shape").tolist())
    volume[tuple((coords - low).T)] = tsdf
    assert float(volume.double().sum()) == pytest.approx(float(stored(last, "scene_tsdf_sum")), rel=1e-4)


def test_targets_without_fusion_are_the_reference_s():
    golden = read("neuralrecon/loss")
    scales = sorted(map(int, cases("neuralrecon/loss", r"gt_coords_s(\d+)")))
    volumes = [[tensor(golden[f"gt_in_{key}_s{scale}"]) for scale in scales] for key in ("tsdf", "occ")]
    for scale in scales:
        tsdf, occupied = truth_at(tensor(golden[f"gt_coords_s{scale}"]).long(), scale, *volumes)
        assert torch.equal(tsdf, tensor(golden[f"gt_tsdf_s{scale}"]))
        assert torch.equal(occupied, tensor(golden[f"gt_occ_s{scale}"]))


def test_a_saved_network_continues_the_scene_as_the_original(published, outputs):
    del outputs  # the memory is that after the last fragment
    with torch.no_grad():
        published(inputs(0))
        state = published.training_state()
        expected, scene = published(inputs(1)), published.tsdf_fusion.scene
        published.load_training_state(state)
        again = published(inputs(1))
    torch.testing.assert_close(again["tsdf"], expected["tsdf"], atol=0, rtol=0)
    torch.testing.assert_close(published.tsdf_fusion.scene, scene, atol=0, rtol=0)


# --- training -------------------------------------------------------------------------------------------------------------


def small(**options) -> NeuralReconNetwork:
    """A small network with random weights of which every voxel divides."""
    torch.manual_seed(0)
    settings = dict(channels=(12, 9, 6), voxel_size=float(GOLDEN["voxel_size"]), size=GOLDEN["n_vox"].tolist(),
                    thresholds=(-1e9, ) * 3) | options  # yapf: disable
    return NeuralReconNetwork(MnasMulti(), SparseUNet((12, 9, 6)), **settings)


def total(outputs: dict) -> Tensor:
    return OccupancyLoss()(outputs, {}) + LogL1Loss()(outputs, {})


@pytest.mark.parametrize("fusing", [False, True])
def test_a_step_gives_every_weight_in_use_a_gradient(fusing):
    net = small(samples=(20, 40, 80))
    net.fusing = fusing
    for k in FRAGMENTS[:2]:  # the second one has something to remember
        outputs = net(inputs(k))
    total(outputs).backward()
    unused = {name for name, p in net.named_parameters() if p.grad is None}
    assert all(name.startswith("gru_fusion") for name in unused) and bool(unused) != fusing
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_in_training_only_so_many_voxels_go_on():
    net = small(samples=(20, 40, 80))
    net.fusing = False
    outputs = net(inputs(0))
    assert [len(found["coords"]) for found in outputs["levels"]] == [216, 8 * 20, 8 * 40] and len(outputs["coords"]) == 80


def test_alone_a_fragment_s_result_does_not_depend_on_others():
    net = small().eval()
    net.fusing = False
    with torch.no_grad():
        first = net(inputs(0))
        net(inputs(1))
        torch.testing.assert_close(net(inputs(0))["tsdf"], first["tsdf"])


@pytest.mark.parametrize("fusing", [False, True])
def test_where_nothing_is_occupied_the_levels_end_and_the_next_scene_starts_anew(fusing):
    net = small().eval()
    net.fusing = fusing
    with torch.no_grad():
        expected = net(inputs(0))
        net.thresholds = (1e9, ) * 3
        empty = net(inputs(0))
        assert len(empty["levels"]) == 1 and "coords" not in empty
        net.thresholds = (-1e9, ) * 3
        torch.testing.assert_close(net(inputs(0))["tsdf"], expected["tsdf"])


def test_scenes_of_a_batch_are_those_alone_without_fusion():
    net = small().eval()
    net.fusing = False
    one, other = inputs(0), inputs(1)
    both = {key: torch.cat([one[key], other[key]]) for key in ("images", "projections", "aligned_camera", "origin",
                                                               "scene_origin")}  # yapf: disable
    with torch.no_grad():
        batch = net(both | dict(begins=[True, True]))
        for scene, alone in enumerate((one, other)):
            own = batch["coords"][:, 0] == scene
            ours, theirs = (batch["coords"][own, 1:], batch["tsdf"][own]), net(alone)
            assert_same_rows(ours, (theirs["coords"][:, 1:], theirs["tsdf"]), 1e-4)


def test_in_mixed_precision_views_see_the_same_voxels():
    net = small().eval()
    net.fusing = False
    with torch.no_grad():
        expected = net(inputs(0))["levels"][0]
        with torch.autocast("cpu", torch.bfloat16):
            found = net(inputs(0))["levels"][0]
    assert found["tsdf"].dtype == torch.float32 and torch.equal(found["mask"], expected["mask"])
    assert 0 < (found["tsdf"] - expected["tsdf"]).abs().max() < 0.05
