"""The whole network against NeuralRecon's, with the fixture's weights."""

import pytest
import torch
from torch import Tensor

from deep3dmap.backbones import MnasMulti, SparseUNet
from deep3dmap.frameworks.neuralrecon.network import NeuralReconNetwork
from deep3dmap.frameworks.neuralrecon.published import from_published
from deep3dmap.losses import LogL1Loss, OccupancyLoss
from tests.frameworks.neuralrecon.fixture import assert_same_rows, by_position, fragment
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


def flipped(k: int, level: int, outputs: list[dict]) -> bool:
    """Whether rounding changed the sign of a logit near 0 before this level, which changes the voxels after it."""
    before = outputs[:k] + [dict(levels=outputs[k]["levels"][:level])]
    return any(
        len(found["coords"]) != len(stored(f, f"l{i}_out_coords")) or not torch.equal(
            *(by_position(each)[0] for each in (found["coords"], stored(f, f"l{i}_out_coords"))))
        for f, each in enumerate(before) for i, found in enumerate(each["levels"]))


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
