"""Two frameworks from outside the package, trained as a user trains them: one imported by its config, one installed."""

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from tests.engine.killing import forked

HERE = Path(__file__).parent
TRAIN, LINE = HERE.parents[1] / "tools" / "train.py", HERE / "line_fit" / "config.py"
GAN = HERE / "tiny_gan" / "tiny_gan" / "config.py"


def environment(*paths: Path) -> dict[str, str]:
    return os.environ | dict(PYTHONPATH=os.pathsep.join(map(str, paths)), OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def run(tool):
    """Runs a script of tools/ in a fork of this process that finds modules in a folder; returns exit code and output."""

    def forks(path: Path, name: str, *arguments: object) -> tuple[int, str]:

        def work() -> None:
            sys.path.insert(0, str(path))
            sys.exit(tool(name, *arguments))

        (code, ), text = forked(work)
        return code, text

    return forks


def scalars(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]


def trained(folder: Path) -> list[dict]:
    """The records of training, without those of validation."""
    return [record for record in scalars(folder) if "seconds" in record]


def weights(folder: Path) -> dict:
    return load_checkpoint(list_checkpoints(folder)[-1])["state_dict"]


def assert_complete(folder: Path, stages: list[str]) -> None:
    """A work folder holds all that it should, of all stages."""
    assert (folder / "config.py").read_text() and (folder / "log.txt").read_text() and list_checkpoints(folder)
    assert list((folder / "vis_data").glob("events.out.tfevents.*"))
    assert list(dict.fromkeys(record["stage"] for record in scalars(folder))) == stages


@pytest.fixture(scope="module")
def line(run, tmp_path_factory):
    """The work folder of the line, and what training it printed."""
    folder = tmp_path_factory.mktemp("line") / "work"
    code, text = run(HERE / "line_fit", "train", LINE, "--work-dir", folder)
    assert code == 0, text
    return folder, text


def test_the_line_is_learned(line):
    state = weights(line[0])
    assert float(state["backbone.slope"]) == pytest.approx(2.0, abs=0.1)
    assert float(state["backbone.intercept"]) == pytest.approx(-1.0, abs=0.1)


def test_the_line_goes_through_both_stages_and_leaves_everything(line):
    folder, text = line
    assert_complete(folder, ["intercept", "train"])
    assert "intercept (1/2)" in text and "train (2/2)" in text and "trained for 210 steps" in text


def test_the_slope_rests_in_the_first_stage(line):
    first = [r for r in scalars(line[0]) if r["stage"] == "intercept"]
    assert min(r["loss_fit"] for r in first) > 1.0  # a level line can't do better than the slope's variance
    assert all("loss_flat" not in r for r in first)
    assert scalars(line[0])[-1]["loss_fit"] < 0.05


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the distribution as pip installs it."""
    folder = tmp_path_factory.mktemp("gan")
    source = shutil.copytree(HERE / "tiny_gan", folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    result = subprocess.run([*pip, str(folder / "site"), str(source)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def gan(installed, tmp_path_factory) -> Path:
    """The work folder of the installed framework, trained in a process of its own."""
    folder = tmp_path_factory.mktemp("gan") / "work"
    command = [sys.executable, str(TRAIN), str(GAN), "--work-dir", str(folder), "--device", "cpu"]
    result = subprocess.run(command, env=environment(installed), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_the_generator_learns_the_distribution(gan):
    assert float(weights(gan)["generator.shift"]) == pytest.approx(3.0, abs=0.3)


def test_the_players_go_through_all_stages_and_leave_everything(gan):
    assert_complete(gan, ["judge", "play", "settle"])


def test_the_discriminator_is_alone_in_the_first_stage(gan):
    first = [r for r in trained(gan) if r["stage"] == "judge"]
    assert all("loss_generator" not in r and "lr_generator" not in r for r in first)
    assert first[-1]["loss_discriminator"] < 0.5 * first[0]["loss_discriminator"]


def test_optimisers_schedules_and_averages_live_on_through_the_stages(gan):
    last = trained(gan)[-1]
    assert last["lr_generator"] == 0.01 and "lr_discriminator" not in last  # 320 own steps; every 200 the rate is halved
    parts = load_checkpoint(list_checkpoints(gan)[-1])["loop"]["optimizers"]["parts"][-1]
    steps = {name: int(next(iter(part["optimizer"]["state"].values()))["step"]) for name, part in parts.items()}
    assert steps == dict(generator=320, discriminator=350)
    average, = parts["generator"]["averages"].values()
    assert average["steps"] == 320 and not parts["discriminator"]["averages"]


def test_the_best_generator_of_the_validation_is_kept(gan):
    off = {r["step"]: r["val_off"] for r in scalars(gan) if "val_off" in r}
    assert list(off) == [50, 100, 150, 200, 250, 300, 350, 370]
    best = load_checkpoint(gan / "checkpoints" / "best.pth")
    assert best["loop"]["validation"]["value"] == min(off.values()) and off[best["loop"]["step"]] == min(off.values())


def test_numbers_are_generated_and_measured_in_batches(gan, installed, run):
    code, text = run(installed, "test", GAN, gan)
    assert code == 0 and "mean" in text, text
    assert json.loads((gan / "test" / "metrics.json").read_text())["numbers"]["mean"] == pytest.approx(3.0, abs=0.3)


@pytest.fixture
def noise(tmp_path) -> Path:
    """A file of noise for two numbers."""
    (tmp_path / "noise.txt").write_text("0.0\n1.0\n")
    return tmp_path / "noise.txt"


def test_reconstruct_infers_with_the_best_weights_of_a_trained_method(gan, installed, noise, run, tmp_path):
    code, text = run(installed, "reconstruct", noise, "--method", "tiny_gan", "-o", tmp_path / "out", "--weights", gan)
    assert code == 0, text
    numbers = [np.load(tmp_path / "out" / "items" / name / "arrays.npz")["number"].item() for name in ("00000", "00001")]
    best = load_checkpoint(gan / "checkpoints" / "best.pth")["state_dict"]
    shift, scale = float(best["generator.shift"]), float(best["generator.scale"])
    assert numbers == pytest.approx([shift, shift + scale], abs=1e-5)
    assert "Tiny" in (tmp_path / "out" / "report.html").read_text() and not list_checkpoints(tmp_path / "out")


def test_a_method_that_learns_from_data_asks_for_its_weights(installed, noise, run, tmp_path):
    code, text = run(installed, "reconstruct", noise, "--method", "tiny_gan", "-o", tmp_path / "out")
    assert code == 1 and "--weights" in text and not (tmp_path / "out").exists()


def test_a_broken_plug_in_ends_the_command_with_its_name_and_traceback(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_toy.py").write_text("import a_package_that_is_missing\n")
    info = tmp_path / "broken_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deep3dmap.plugins]\nbroken = broken_toy\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["train", str(LINE), "--work-dir", str(tmp_path / "work")]) == 1
    text = capsys.readouterr().err
    assert "PluginError: the plug-in 'broken' (broken_toy, from broken-toy)" in text
    assert "Traceback" in text and "a_package_that_is_missing" in text and not (tmp_path / "work").exists()


def in_a_terminal(arguments: list[str], env: dict[str, str], ready) -> tuple[int, str]:
    """Run a command in a terminal of 200 columns and end it politely once ``ready()``; its exit code and what it showed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
    process = subprocess.Popen(arguments, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    text, sent, end = b"", False, time.monotonic() + 120
    while time.monotonic() < end:
        try:
            text += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not sent and ready():
            process.send_signal(signal.SIGTERM)
            sent = True
    os.close(ours)
    return process.wait(timeout=30), text.decode()


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A work folder of a long run that was asked to end: exit code and what the terminal showed."""
    folder = tmp_path_factory.mktemp("long") / "work"
    arguments = [sys.executable, str(TRAIN), str(LINE), "--work-dir", str(folder), "--device", "cpu", "--cfg-options",
                 "train_cfg.stages.0.max_epochs=1000000"]  # yapf: disable
    env = environment(HERE / "line_fit") | dict(TERM="xterm")
    env.pop("COLUMNS", None)
    return folder, *in_a_terminal(arguments, env, (folder / "scalars.jsonl").exists)


def test_an_interrupted_command_keeps_its_state_and_ends_with_130(interrupted):
    folder, code, text = interrupted
    assert code == 130 and "--resume" in text
    assert load_checkpoint(list_checkpoints(folder)[-1])["loop"]["step"] == scalars(folder)[-1]["step"]


def test_a_terminal_shows_a_live_line(interrupted):
    assert re.search(r"\rintercept \(1/2\) step \d+/3000000 +0% \| ETA [\d:]+ \| loss \S+ fit \S+ \| [\d,]+ items/s \| "
                     r"[\d,]+ MiB\x1b\[K", interrupted[2])  # yapf: disable


def test_the_interrupted_run_can_be_finished(interrupted, tool, capsys):
    folder = interrupted[0]
    step = scalars(folder)[-1]["step"]
    stages = ["train_cfg.stages.0.max_epochs=1000000", f"train_cfg.stages.0.max_steps={step + 5}"]
    options = ["--resume", "--cfg-options", *stages, "train_cfg.stages.1.max_steps=5"]
    assert tool("train", LINE, "--work-dir", folder, *options) == 0
    assert f"trained for {step + 10} steps" in capsys.readouterr().out
    steps = [record["step"] for record in scalars(folder)]
    assert steps == sorted(set(steps)) and steps[-1] == step + 10
