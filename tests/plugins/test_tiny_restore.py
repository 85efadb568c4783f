"""A method from image to image, from outside the package: items, pipelines, averages, validation, pretrained weights."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from tests.engine.test_resume import assert_same, state

CONFIG = Path(__file__).parent / "tiny_restore" / "config.py"
SHORT = ("--cfg-options", "train_cfg.max_steps=12", "val_cfg.every_steps=4")


@pytest.fixture(scope="module")
def trained(tool, tmp_path_factory) -> Path:
    """The work folder of the config as it stands, trained and tested."""
    folder = tmp_path_factory.mktemp("restore") / "work"
    assert tool("train", CONFIG, "--work-dir", folder) == 0
    assert tool("test", CONFIG, folder) == 0
    return folder


@pytest.fixture(scope="module")
def short(tool, tmp_path_factory) -> Path:
    """The work folder of a run of 12 steps, with a checkpoint and a validation every 4."""
    folder = tmp_path_factory.mktemp("short") / "work"
    assert tool("train", CONFIG, "--work-dir", folder, *SHORT) == 0
    return folder


def validated(folder: Path) -> dict[int, float]:
    """The validation's PSNR by step."""
    records = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return {record["step"]: record["val_psnr"] for record in records if "val_psnr" in record}


def test_noise_is_taken_out(trained):
    figures = json.loads((trained / "test" / "metrics.json").read_text())
    assert figures["pictures"]["psnr"] > figures["pictures"]["psnr_noisy"] + 4
    assert figures["items"]["00003"]["psnr"] > figures["items"]["00003"]["psnr_noisy"]


def test_every_item_leaves_its_pictures(trained):
    folders = sorted((trained / "test" / "items").iterdir())
    assert [folder.name for folder in folders] == [f"{k:05d}" for k in range(12)]
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == ["noisy.png", "rgb.png"]
        assert np.asarray(Image.open(folder / "rgb.png")).shape == (16, 16, 3)


def test_the_best_validated_weights_are_kept_and_tested(trained, tool, tmp_path):
    psnr = validated(trained)
    assert list(psnr) == [40, 80, 120]
    best = load_checkpoint(trained / "checkpoints" / "best.pth")["loop"]
    assert best["validation"]["value"] == max(psnr.values()) == psnr[best["step"]]
    assert tool("test", CONFIG, trained / "checkpoints" / "best.pth", "--work-dir", tmp_path) == 0
    assert (tmp_path / "test" / "metrics.json").exists()


def test_reconstruct_restores_a_users_pictures_with_the_best_weights(trained, tool, tmp_path):
    np.save(tmp_path / "own.npy", np.full((2, 16, 16, 3), 128, np.uint8))
    options = ("--config", CONFIG, "--weights", trained, "-o", tmp_path / "out")
    assert tool("reconstruct", tmp_path / "own.npy", *options) == 0
    for name in ("00000", "00001"):
        rgb, noisy = (np.asarray(Image.open(tmp_path / "out" / "items" / name / f"{kind}.png")) for kind in ("rgb", "noisy"))
        assert rgb.std() < 0.8 * noisy.std()
    assert "rgb of 00001" in (tmp_path / "out" / "report.html").read_text()
    assert tool("reconstruct", tmp_path / "own.npy", "--config", CONFIG, "-o", tmp_path / "none") == 1


def test_buffers_are_averaged_with_the_weights(trained):
    checkpoint = load_checkpoint(list_checkpoints(trained)[-1])
    for name in ("backbone.layers.0.conv.weight", "backbone.layers.0.bn.running_mean"):
        assert not torch.equal(checkpoint["state_dict"][name], checkpoint["loop"]["weights"][name])
    assert checkpoint["state_dict"]["backbone.layers.0.bn.num_batches_tracked"] == 120


def test_items_made_by_workers_train_the_same(short, tool, tmp_path):
    assert tool("train", CONFIG, "--work-dir", tmp_path, *SHORT, "train_dataloader.num_workers=2",
                "train_dataloader.persistent_workers=True", "val_dataloader.num_workers=1") == 0  # yapf: disable
    assert_same(state(tmp_path), state(short))
    assert validated(tmp_path) == validated(short)


def test_a_run_resumed_at_a_checkpoint_ends_the_same(short, tool, tmp_path):
    checkpoint = short / "checkpoints" / "step_00000004.pth"
    assert tool("train", CONFIG, "--work-dir", tmp_path, "--resume", checkpoint, *SHORT) == 0
    assert_same(state(tmp_path), state(short))
    assert validated(tmp_path) == {step: psnr for step, psnr in validated(short).items() if step > 4}


def test_a_run_ended_by_sigterm_and_resumed_ends_the_same(short, tool, tmp_path):
    hook = dict(type="SignalAt", step=6, number=int(signal.SIGTERM))
    options = [f"default_hooks.stop.{key}={value}" for key, value in hook.items()]
    assert tool("train", CONFIG, "--work-dir", tmp_path, *SHORT, *options) == 130
    assert load_checkpoint(list_checkpoints(tmp_path)[-1])["loop"]["step"] < 12
    assert tool("train", CONFIG, "--work-dir", tmp_path, "--resume", *SHORT) == 0
    assert_same(state(tmp_path), state(short))
    assert validated(tmp_path) == validated(short)


def test_a_run_starts_from_the_backbone_of_another(trained, tool, tmp_path):
    source = list_checkpoints(trained)[-1]
    weights = [f"model.backbone.weights.path={source}", "model.backbone.weights.prefix=backbone."]
    assert tool("train", CONFIG, "--work-dir", tmp_path, "--cfg-options", "train_cfg.max_steps=0", *weights) == 0
    assert_same(state(tmp_path)["weights"], state(trained)["weights"])
    assert validated(tmp_path)[0] == pytest.approx(validated(trained)[120])


def test_two_processes_validate_the_first_ones_buffers_also_when_resumed(tool_in_two, tmp_path):
    options = [*SHORT, "train_dataloader.batch_size=4"]
    assert tool_in_two("train", CONFIG, "--work-dir", tmp_path / "whole", *options) == [0, 0]
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_00000008.pth"
    assert tool_in_two("train", CONFIG, "--work-dir", tmp_path / "b", "--resume", checkpoint, *options) == [0, 0]
    assert_same(state(tmp_path / "b"), state(tmp_path / "whole"))
    assert validated(tmp_path / "b")[12] == validated(tmp_path / "whole")[12]


def test_weights_of_another_method_are_named(trained, tool, tmp_path, capsys):
    config = CONFIG.parents[1] / "tiny_clips" / "config.py"
    (tmp_path / "own.json").write_text("[[[0.0, 0.0]]]")
    assert tool("reconstruct", tmp_path / "own.json", "--config", config, "--weights", trained, "-o", tmp_path / "out") == 1
    text = capsys.readouterr().err
    assert "TinyRestore" in text and "TinyClips" in text and not (tmp_path / "out").exists()
