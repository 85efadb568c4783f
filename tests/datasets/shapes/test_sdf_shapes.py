"""Batches of signed-distance samples, against the authors' draws and under several processes."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.shapes.sdf_samples.layout import SdfSamples, ShapeName, samples_path, write_samples, write_split
from deep3dmap.datasets.shapes.sdf_shapes import SDFShapes, SDFTestShapes, draw_samples, take_any, take_run
from deep3dmap.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path):
    """Seven balls of growing radius."""
    random = np.random.default_rng(0)
    for k in range(7):
        points = random.uniform(-1, 1, (400, 3))
        write_samples(samples_path(tmp_path, ShapeName("made", "balls", f"b{k}")), points,
                      np.linalg.norm(points, axis=1) - 0.4 - 0.05 * k, seed=k)  # yapf: disable
    return tmp_path


def batches(dataset, count, **ranks):
    return [dataset.batch(step, torch.Generator().manual_seed(step), **ranks) for step in range(count)]


def test_runs_are_those_of_the_reference(goldens):
    golden = goldens("deepsdf/sampling")
    pos, start = golden["pos"], int(golden["ram_big/starts"][0])
    half = len(golden["ram_big/out"]) // 2
    uniform = (start + 0.5) / (len(pos) - half + 1)
    assert np.array_equal(take_run(pos, half, uniform), golden["ram_big/out"][:half])
    start = int(golden["ram_big/starts"][1])
    uniform = (start + 0.5) / (len(golden["neg_big"]) - half + 1)
    assert np.array_equal(take_run(golden["neg_big"], half, uniform), golden["ram_big/out"][half:])


def test_draws_with_repetition_are_those_of_the_reference(goldens):
    golden = goldens("deepsdf/sampling")
    pos, half = golden["pos"], len(golden["ram_small/out"]) // 2
    drawn = [take_run(pos, half, (int(golden["ram_small/starts"][0]) + 0.5) / (len(pos) - half + 1)),
             take_any(golden["neg_small"], torch.from_numpy(golden["ram_small/uniform"]))]  # yapf: disable
    assert np.array_equal(np.concatenate(drawn), golden["ram_small/out"])
    finite = golden["nan_file_pos"][~np.isnan(golden["nan_file_pos"][:, 3])]
    ours = [take_any(finite, torch.from_numpy(golden["file/uniform_pos"])),
            take_any(golden["file_neg"], torch.from_numpy(golden["file/uniform_neg"]))]  # yapf: disable
    assert np.array_equal(np.concatenate(ours), golden["file/out"])


@pytest.mark.parametrize("shuffled", [True, False])
def test_half_of_the_samples_lie_outside_and_half_inside(shuffled):
    rows = np.tile(np.arange(30, dtype=np.float32)[:, None], (1, 4)) + 1
    drawn = draw_samples(SdfSamples(rows, -rows[:5], shuffled), 20, torch.Generator().manual_seed(0))
    assert drawn.shape == (20, 4)
    assert (drawn[:10] > 0).all() and (drawn[10:] < 0).all()
    assert (drawn[:10, 3].diff() == 1).all() == shuffled


def test_negatives_that_are_just_the_half_are_drawn_with_repetition_and_positives_are_not():
    rows = np.tile(np.arange(30, dtype=np.float32)[:, None], (1, 4)) + 1
    drawn = draw_samples(SdfSamples(rows, -rows, shuffled=True), 60, torch.Generator().manual_seed(0))
    assert len(drawn[:30, 3].unique()) == 30 and len(drawn[30:, 3].unique()) < 30


def test_an_epoch_passes_once_through_the_shapes_in_an_order_of_its_own(root):
    dataset = SDFShapes(str(root), shapes=3, samples=10)
    assert len(dataset) == 2
    epochs = [torch.cat([b["shape"] for b in batches(dataset, 4)[first:first + 2]]) for first in (0, 2)]
    assert all(len(set(epoch.tolist())) == 6 for epoch in epochs)
    assert not torch.equal(*epochs)


def test_samples_are_the_files_and_belong_to_their_shape(root):
    dataset = SDFShapes(str(root), shapes=7, samples=64)
    batch = batches(dataset, 1)[0]
    assert batch["points"].shape == (7, 64, 3)
    radius = 0.4 + 0.05 * batch["shape"]
    torch.testing.assert_close(batch["sdf"], batch["points"].norm(dim=-1) - radius[:, None], atol=1e-6, rtol=0)
    assert ((batch["sdf"] > 0).sum(1) == 32).all()


def test_processes_share_a_batch_that_one_would_have_alone(root):
    dataset = SDFShapes(str(root), shapes=5, samples=8)
    whole, parts = batches(dataset, 1)[0], [batches(dataset, 1, rank=rank, world=2)[0] for rank in (0, 1)]
    for key in ("points", "sdf", "shape"):
        for rank, part in enumerate(parts):
            assert torch.equal(part[key], whole[key][rank::2])
    assert all(torch.equal(part["batch_shapes"], whole["batch_shapes"]) for part in parts)


def test_a_split_chooses_the_shapes_and_their_order(root):
    names = [ShapeName("made", "balls", name) for name in ("b4", "b1")]
    write_split(root / "some.json", names)
    assert SDFShapes(str(root), "some.json", shapes=9).info()["shapes"] == ["made/balls/b4", "made/balls/b1"]
    assert len(SDFTestShapes(str(root), str(root / "some.json"), limit=1)) == 1


def test_a_test_shape_has_all_its_samples(root):
    item = SDFTestShapes(str(root))[2]
    assert item["name"] == "made/balls/b2"
    assert len(item["positive"]) + len(item["negative"]) == 400
    assert item["scale"] == 1.0


def test_missing_samples_are_named(root):
    write_split(root / "more.json", [ShapeName("made", "balls", "b9")])
    with pytest.raises(DataError, match="made/balls/b9"):
        SDFShapes(str(root), "more.json")


def test_a_single_sample_is_too_few(root):
    with pytest.raises(ConfigError, match="samples=1"):
        SDFShapes(str(root), samples=1)
