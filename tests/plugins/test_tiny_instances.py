"""A method with one run an instance: trained, tested, reconstructed, killed and resumed by the ordinary commands."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from tests.engine.killing import Forking, ended, fork, wait

CONFIG = Path(__file__).parent / "tiny_restore" / "instances.py"
NAMES = ["00000", "00001", "00002"]
ONE_BY_ONE = ("--cfg-options", "instances.workers=1")


@pytest.fixture(scope="module", autouse=True)
def forked_runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deep3dmap.io.workers._context", lambda function: Forking())
        yield


@pytest.fixture(scope="module")
def trained(tool, tmp_path_factory) -> Path:
    """The work folder of an undisturbed training."""
    work = tmp_path_factory.mktemp("whole") / "work"
    assert tool("train", CONFIG, "--work-dir", work, *ONE_BY_ONE) == 0
    return work


def weights(work: Path) -> list[torch.Tensor]:
    newest = [list_checkpoints(work / "instances" / name)[-1] for name in NAMES]
    return [load_checkpoint(path)["state_dict"]["backbone.values"] for path in newest]


def test_every_instance_has_a_run_of_its_own(trained):
    assert sorted(p.name for p in (trained / "instances").iterdir()) == NAMES
    for name in NAMES:
        folder = trained / "instances" / name
        assert json.loads((folder / "finished.json").read_text())["steps"] == 40
        assert "fine (2/2)" in (folder / "output.txt").read_text() and (folder / "scalars.jsonl").is_file()


def test_a_test_measures_all_instances_together_and_each(trained, tool):
    assert tool("test", CONFIG, trained, *ONE_BY_ONE) == 0
    found = json.loads((trained / "test" / "metrics.json").read_text())
    each = [found["items"][name]["psnr"] for name in NAMES]
    assert min(each) > 20 and found["pictures"]["psnr"] == pytest.approx(sum(each) / 3)
    assert all((trained / "test" / "items" / name / "rgb.png").is_file() for name in NAMES)


def test_reconstruct_trains_each_and_reports(tool, tmp_path):
    np.save(tmp_path / "own.npy", np.full((2, 16, 16, 3), 100, np.uint8))
    assert tool("reconstruct", tmp_path / "own.npy", "--config", CONFIG, "--minutes", 5, "-o", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["pictures"]["psnr"] > 20
    report = (tmp_path / "out" / "report.html").read_text()
    assert all(f"rgb of {name}" in report for name in NAMES[:2])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_that_is_stopped_in_its_third_instance_ends_as_if_it_were_not(how, trained, tool, tmp_path):
    work = tmp_path / "work"
    with open(tmp_path / "output.txt", "w") as output:
        command = ("train", CONFIG, "--work-dir", work, *ONE_BY_ONE)
        child = fork(lambda: sys.exit(tool(*command)), output.fileno())
        code, end = None, time.monotonic() + 120
        while not list_checkpoints(work / "instances" / NAMES[2]) and code is None and time.monotonic() < end:
            time.sleep(0.002)
            code = ended(child)
        os.kill(child, how)
        assert wait(child) == (-how if how == signal.SIGKILL else 130)
    done = [name for name in NAMES if (work / "instances" / name / "finished.json").is_file()]
    assert NAMES[:2] == done[:2] and len(done) < 3
    before = (work / "instances" / NAMES[0] / "finished.json").stat().st_mtime_ns
    assert tool("train", CONFIG, "--work-dir", work, "--resume", *ONE_BY_ONE) == 0
    assert (work / "instances" / NAMES[0] / "finished.json").stat().st_mtime_ns == before
    assert all(torch.equal(a, b) for a, b in zip(weights(work), weights(trained)))


def test_a_run_that_fails_is_named_and_the_others_are_trained(tool, tmp_path, capsys):
    np.save(tmp_path / "own.npy", np.array([np.nan, 100.0])[:, None, None, None] * np.ones((16, 16, 3)))
    options = (*ONE_BY_ONE, f"instances.dataset.path={tmp_path / 'own.npy'}")
    assert tool("train", CONFIG, "--work-dir", tmp_path / "work", *options) == 1
    assert f"{NAMES[0]} failed: step 1" in capsys.readouterr().out
    assert [p.parent.name for p in (tmp_path / "work" / "instances").glob("*/finished.json")] == NAMES[1:2]
