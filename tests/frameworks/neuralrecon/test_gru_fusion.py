"""Fusion of fragments against NeuralRecon's."""

import pytest
import torch

from deep3dmap.frameworks.neuralrecon.gru_fusion import GRUFusion, TSDFFusion
from tests.frameworks.neuralrecon.fixture import assert_same_rows, fragment
from tests.goldens import cases, read, tensor, tensors

GOLDEN = read("neuralrecon/gru_fusion")
FRAGMENTS = sorted(map(int, cases("neuralrecon/gru_fusion", r"f(\d+)_vol_origin")))
LEVELS = sorted(map(int, cases("neuralrecon/gru_fusion", r"f0_s(\d+)_coords")))
SETTINGS = dict(voxel_size=float(GOLDEN["voxel_size"]), size=GOLDEN["n_vox"].tolist())


def gru_fusion() -> GRUFusion:
    fusion = GRUFusion([GOLDEN[f"f0_s{level}_values"].shape[1] for level in LEVELS], **SETTINGS)
    fusion.load_state_dict(tensors(GOLDEN, "w."))
    return fusion.eval()


def step(fusion: GRUFusion, k: int, level: int, values: torch.Tensor | None = None):
    coords, inputs = tensor(GOLDEN[f"f{k}_s{level}_coords"]).long(), fragment(GOLDEN, k)
    fusion.begin(inputs)
    return fusion(level, coords, tensor(GOLDEN[f"f{k}_s{level}_values"]) if values is None else values, inputs)


@torch.no_grad()
@pytest.mark.parametrize("level", LEVELS)
def test_fused_features_targets_and_memory_are_the_reference_s(level):
    fusion = gru_fusion()
    for k in FRAGMENTS:
        fused = step(fusion, k, level)
        theirs = {key.removeprefix(f"f{k}_s{level}_"): tensor(GOLDEN[key]) for key in GOLDEN.files
                  if key.startswith(f"f{k}_s{level}_")}  # yapf: disable
        assert_same_rows((fused.coords, fused.features, fused.tsdf_target, fused.occupancy_target.float()),
                         (theirs["up_coords"], theirs["up_values"], theirs["tsdf_target"], theirs["occ_target"].float()), 1e-4)
        memory, target = fusion.scenes[0].memories[level], fusion.scenes[0].targets[level]
        assert_same_rows((memory.coords, memory.values), (theirs["gvol_C"], theirs["gvol_F"]), 1e-4)
        assert_same_rows((target.coords, target.values), (theirs["gtarget_C"], theirs["gtarget_F"]), 1e-5)


def test_the_fragment_s_place_in_its_scene_is_the_reference_s():
    fusion = gru_fusion()
    for k in FRAGMENTS:
        inputs = fragment(GOLDEN, k)
        fusion.begin(inputs)
        for level in LEVELS:
            assert torch.equal(fusion.start(level, 0, inputs), tensor(GOLDEN[f"f{k}_s{level}_relative_origin"]))


def test_distances_of_the_scene_are_the_reference_s():
    fusion = TSDFFusion(**SETTINGS)
    for k in FRAGMENTS:
        inputs = fragment(GOLDEN, k)
        fusion.begin(inputs)
        fusion(tensor(GOLDEN[f"f{k}_ds_coords"]).long(), tensor(GOLDEN[f"f{k}_ds_tsdf"]), inputs)
        coords, tsdf, origin = fusion.scene
        expected = tensor(GOLDEN[f"f{k}_ds_scene_tsdf"])
        low = ((tensor(GOLDEN[f"f{k}_ds_origin"]) - origin) / SETTINGS["voxel_size"]).round().long()
        volume = torch.ones_like(expected)
        volume[tuple((coords - low).T)] = tsdf
        torch.testing.assert_close(volume, expected)


@torch.no_grad()
def test_another_scene_starts_with_an_empty_memory():
    fusion, fresh = gru_fusion(), gru_fusion()
    level = LEVELS[-1]
    step(fusion, 0, level)
    again = step(fusion, 0, level)
    torch.testing.assert_close(again.features, step(fresh, 0, level).features)
    assert fusion.scenes[0].memories[level].coords.shape == fresh.scenes[0].memories[level].coords.shape


@torch.no_grad()
def test_each_place_of_a_batch_has_a_scene_of_its_own():
    batch, level, (first, second) = gru_fusion(), LEVELS[0], FRAGMENTS[:2]
    for places in ((first, first), (second, first), (first, second)):  # the first fragment begins a scene
        inputs = [fragment(GOLDEN, k) for k in places]
        both = {key: torch.cat([each[key] for each in inputs]) for key in ("origin", "scene_origin", "aligned_camera")}
        both |= {key: [torch.cat(pair) for pair in zip(*(each[key] for each in inputs))] for key in ("tsdf", "occupancy")}
        both["begins"] = [begins for each in inputs for begins in each["begins"]]
        given = [tensor(GOLDEN[f"f{k}_s{level}_coords"]).long() for k in places]
        given[1][:, 0] = 1
        batch.begin(both)
        fused = batch(level, torch.cat(given), torch.cat([tensor(GOLDEN[f"f{k}_s{level}_values"]) for k in places]), both)
        for place, k in enumerate(places):
            own, alone = fused.coords[:, 0] == place, gru_fusion()
            expected = [step(alone, each, level) for each in FRAGMENTS[:k + 1]][-1]
            torch.testing.assert_close(fused.features[own], expected.features)
            torch.testing.assert_close(fused.tsdf_target[own], expected.tsdf_target)


@torch.no_grad()
def test_a_saved_memory_continues_as_the_original():
    fusion, other, level = gru_fusion(), gru_fusion(), LEVELS[-1]
    step(fusion, 0, level)
    state = fusion.training_state()
    expected = step(fusion, 1, level)
    other.load_training_state(state)
    torch.testing.assert_close(step(other, 1, level).features, expected.features, atol=0, rtol=0)


def test_gradients_reach_the_fragment_s_features_but_not_earlier_ones():
    fusion, level = gru_fusion(), LEVELS[-1]
    for k in FRAGMENTS[:2]:
        values = tensor(GOLDEN[f"f{k}_s{level}_values"]).requires_grad_()
        fused = step(fusion, k, level, values)
        fused.features.square().sum().backward()
        assert values.grad.abs().sum(1).gt(0).all()
