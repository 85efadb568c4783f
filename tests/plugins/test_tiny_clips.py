"""A method that carries a state along sequences, from outside the package: clips, stages, evaluation, resuming, processes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from tests.engine.test_resume import assert_same, state

CONFIG = Path(__file__).parent / "tiny_clips" / "config.py"
# places of 13 and 15 clips, which 17 steps of the second stage go through, and begin again with the first
SHORT = ("--cfg-options", "train_dataloader.dataset.lengths=[7,4,9,6,2]", "train_dataloader.batch_size=2",
         "val_dataloader.dataset.lengths=[3,2]", "train_cfg.stages.0.max_epochs=None", "train_cfg.stages.0.max_steps=5",
         "train_cfg.stages.1.max_epochs=None", "train_cfg.stages.1.max_steps=17", "val_cfg.every_steps=4",
         "default_hooks.checkpoint.steps=1", "default_hooks.checkpoint.keep=0")  # yapf: disable


@pytest.fixture(scope="module")
def trained(tool, tmp_path_factory) -> Path:
    """The work folder of the config as it stands, trained and tested."""
    folder = tmp_path_factory.mktemp("clips") / "work"
    assert tool("train", CONFIG, "--work-dir", folder) == 0
    assert tool("test", CONFIG, folder) == 0
    return folder


@pytest.fixture(scope="module")
def short(tool, tmp_path_factory) -> Path:
    """The work folder of a short run with a checkpoint at every step."""
    folder = tmp_path_factory.mktemp("short") / "work"
    assert tool("train", CONFIG, "--work-dir", folder, *SHORT) == 0
    return folder


def validated(folder: Path) -> list[dict]:
    """The records of the validation."""
    return [record for record in map(json.loads, (folder / "scalars.jsonl").read_text().splitlines()) if "val_off" in record]


def figures(folder: Path) -> dict:
    """What the test found."""
    return json.loads((folder / "test" / "metrics.json").read_text())


def test_levels_are_followed_better_with_the_state_than_without(trained):
    without = [record["val_off"] for record in validated(trained) if record["stage"] == "clips"]
    assert figures(trained)["levels"]["off"] < 0.75 * min(without)


def test_with_the_state_a_small_gain_is_learned(trained):  # single clips teach one of 2/3
    assert float(state(trained)["weights"]["backbone.logit"].sigmoid()) < 0.5


def test_reconstruct_follows_a_users_sequences_to_their_ends(trained, tool, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps([[[2.0, 2.0]] * 30, [[-1.0, -1.0]] * 30]))
    assert tool("reconstruct", tmp_path / "own.json", "--config", CONFIG, "--weights", trained, "-o", tmp_path / "out") == 0
    found = [float(np.load(path)["level"]) for path in sorted((tmp_path / "out" / "items").glob("*/arrays.npz"))]
    assert found == pytest.approx([2.0, -1.0], abs=0.2)
    assert "<h1>Tiny clips: own.json</h1>" in (tmp_path / "out" / "report.html").read_text()


def test_metrics_see_each_sequence_once_when_it_is_complete(trained):
    found = figures(trained)
    assert found["levels"]["sequences"] == 24 and list(found["items"]) == sorted(f"sequence_{k}" for k in range(24))
    assert all(record["val_sequences"] == 24 for record in validated(trained))


def test_the_optimiser_lives_on_through_both_stages(trained):
    loop = load_checkpoint(list_checkpoints(trained)[-1])["loop"]
    part, = loop["optimizers"]["parts"][-1].values()
    assert int(part["optimizer"]["state"][0]["step"]) == loop["step"] > 100


def test_the_sequences_in_a_batch_have_states_of_their_own(short):
    estimates = load_checkpoint(short / "checkpoints" / "step_00000012.pth")["loop"]["training"]["estimates"]
    assert estimates.shape == (2, ) and estimates[0] != estimates[1]


def test_validation_does_not_disturb_training(short, tool, tmp_path):
    assert tool("train", CONFIG, "--work-dir", tmp_path, *SHORT, "val_cfg=None") == 0
    assert not validated(tmp_path)
    loop = state(short)["loop"]
    loop.pop("validation")
    assert_same(state(tmp_path), state(short) | dict(loop=loop))


# in the stage of single clips, where the other begins, in sequences, and where one place has begun again
@pytest.mark.parametrize("step", [3, 5, 8, 19])
def test_a_run_resumed_in_a_sequence_ends_the_same(step, short, tool, tmp_path):
    checkpoint = short / "checkpoints" / f"step_{step:08d}.pth"
    assert tool("train", CONFIG, "--work-dir", tmp_path, "--resume", checkpoint, *SHORT) == 0
    assert_same(state(tmp_path), state(short))
    assert [r for r in validated(short) if r["step"] > step] == validated(tmp_path)


def test_a_run_that_is_resumed_needs_the_state(short, tool, tmp_path):
    checkpoint = load_checkpoint(short / "checkpoints" / "step_00000008.pth")
    checkpoint["loop"]["training"]["estimates"] += 1
    torch.save(checkpoint, tmp_path / "other.pth")
    assert tool("train", CONFIG, "--work-dir", tmp_path / "work", "--resume", tmp_path / "other.pth", *SHORT) == 0
    assert not torch.equal(*(state(folder)["weights"]["backbone.logit"] for folder in (short, tmp_path / "work")))


def test_two_processes_find_the_figures_of_one(trained, tool_in_two, tmp_path):
    assert tool_in_two("test", CONFIG, trained, "--work-dir", tmp_path) == [0, 0]
    assert figures(tmp_path) == figures(trained)


def test_a_run_of_two_processes_resumed_in_a_sequence_ends_the_same(tool_in_two, tmp_path):
    options = [*SHORT, "train_dataloader.batch_size=1", "val_cfg.every_steps=7"]
    assert tool_in_two("train", CONFIG, "--work-dir", tmp_path / "whole", *options) == [0, 0]
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_00000008.pth"
    assert tool_in_two("train", CONFIG, "--work-dir", tmp_path / "b", "--resume", checkpoint, *options) == [0, 0]
    assert_same(state(tmp_path / "b"), state(tmp_path / "whole"))
