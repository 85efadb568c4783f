"""A method with one run an instance: trained, tested, reconstructed, killed and resumed by the ordinary commands."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint

HERE = Path(__file__).parent / "tiny_instances"
CONFIG, TOOLS = HERE / "config.py", Path(__file__).parents[2] / "tools"
NAMES = [f"wave_{k}" for k in range(3)]


@pytest.fixture(scope="module")
def waves(tmp_path_factory) -> Path:
    """A folder of three instances."""
    folder = tmp_path_factory.mktemp("data") / "waves"
    folder.mkdir()
    for k, name in enumerate(NAMES):
        (folder / f"{name}.txt").write_text(str(3.0 + k))
    return folder


def arguments(waves: Path, work: Path, *more: str) -> list[str]:
    """Of the command that trains one instance after the other."""
    options = ["--cfg-options", f"instances.dataset.folder={waves}", "instances.workers=1"]
    return [str(CONFIG), "--work-dir", str(work), "--device", "cpu", *more, *options]


@pytest.fixture(scope="module")
def trained(waves, tmp_path_factory) -> Path:
    """The work folder of an undisturbed training."""
    work = tmp_path_factory.mktemp("whole") / "work"
    assert main(["train", *arguments(waves, work)]) == 0
    return work


def weights(work: Path) -> list[torch.Tensor]:
    return [
        load_checkpoint(list_checkpoints(work / "instances" / name)[-1])["state_dict"]["backbone.values"] for name in NAMES
    ]


def test_every_instance_has_a_run_of_its_own(trained):
    assert sorted(p.name for p in (trained / "instances").iterdir()) == NAMES
    for name in NAMES:
        folder = trained / "instances" / name
        assert json.loads((folder / "finished.json").read_text())["steps"] == 40
        assert "fine (2/2)" in (folder / "output.txt").read_text() and (folder / "scalars.jsonl").is_file()


def test_a_test_measures_all_instances_together_and_each(trained, waves, capsys):
    assert main(["test",
                 str(CONFIG),
                 str(trained), "--device", "cpu", "--cfg-options", f"instances.dataset.folder={waves}"]) == 0
    found = json.loads((trained / "test" / "metrics.json").read_text())
    assert found["waves"]["pictures"] == 3 and found["waves"]["error"] < 0.1
    assert max(each["error"] for each in found["items"].values()) == found["waves"]["error"]
    assert all((trained / "test" / "items" / name / "image.png").is_file() for name in NAMES)


def test_reconstruct_trains_each_and_reports(waves, tmp_path):
    assert main(["reconstruct",
                 str(waves), "--config",
                 str(CONFIG), "--minutes", "5", "-o",
                 str(tmp_path), "--device", "cpu"]) == 0
    assert json.loads((tmp_path / "metrics.json").read_text())["waves"]["error"] < 0.1
    report = (tmp_path / "report.html").read_text()
    assert all(f"image of {name}" in report for name in NAMES) and (tmp_path / "items" / NAMES[2] / "image.png").is_file()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_is_stopped_in_its_third_instance_ends_as_if_it_were_not(how, waves, trained, tmp_path):
    work = tmp_path / "work"
    command = [sys.executable, str(TOOLS / "train.py"), *arguments(waves, work)]
    process = subprocess.Popen(command, env=os.environ | dict(PYTHONPATH=str(TOOLS.parent)), stdout=subprocess.DEVNULL)
    third = work / "instances" / NAMES[2]
    end = time.monotonic() + 120
    while not list_checkpoints(third) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(how)
    assert process.wait(60) == (-how if how == signal.SIGKILL else 130)
    done = [name for name in NAMES if (work / "instances" / name / "finished.json").is_file()]
    assert NAMES[:2] == done[:2] and len(done) < 3
    before = (work / "instances" / NAMES[0] / "finished.json").stat().st_mtime_ns
    assert main(["train", *arguments(waves, work, "--resume")]) == 0
    assert (work / "instances" / NAMES[0] / "finished.json").stat().st_mtime_ns == before
    assert all(torch.equal(a, b) for a, b in zip(weights(work), weights(trained)))


def test_a_run_that_fails_is_named_and_the_others_are_trained(tmp_path, capsys):
    for name, text in (("a", "nan"), ("b", "4")):
        (tmp_path / f"{name}.txt").write_text(text)
    assert main(["train", *arguments(tmp_path, tmp_path / "work")]) == 1
    assert "a failed: step 1" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "work" / "instances").glob("*/finished.json")] == ["finished.json"]
