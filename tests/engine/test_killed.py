"""Nothing is lost: whatever ends a run of IDR, it goes on to the very weights that it would have had undisturbed.

Kills, full disks and signals from outside happen to processes of their own (see killing.py and forked_cases.py), which are
forks of one that has imported everything; torn files, losses and signals at chosen moments to runs in this process.
"""

import contextlib
import json
import os
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from deep3dmap.engine.hooks import CheckpointHook
from deep3dmap.errors import CheckpointError, TrainingError
from deep3dmap.interrupts import Interrupts
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from tests.engine import forked_cases
from tests.engine.killing import differences, forked, parts, recorded, state, tiny_idr, train

ROOT = Path(__file__).parents[2]
KEPT = ["step_00000010.pth", "step_00000011.pth", "step_00000012.pth"]


def names(folder: Path) -> list[str]:
    """The files of a work folder's checkpoints, half-written ones too."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    """Three steps of fitting, then nine of training; a checkpoint after each, of which three are kept."""
    made = tiny_idr(tmp_path_factory.mktemp("data"), steps=12, fit_steps=3)
    return made | dict(test_dataset=dict(type="Views"), test_cfg=dict(resolution=12, scale=0.25))


@pytest.fixture(scope="module")
def cases(config, tmp_path_factory) -> Callable[[str], tuple[int, str, Path]]:
    """By a case of forked_cases.py: how its process ended, what it printed, and its work folder."""
    root = tmp_path_factory.mktemp("cases")
    Config(config).dump(root / "config.py")
    codes, text = forked(partial(forked_cases.run_all, root))
    assert codes == [0], text
    ends = json.loads((root / "ends.json").read_text())
    return lambda name: (ends[name], (root / f"{name}.txt").read_text(), root / name)


@pytest.fixture
def whole(cases) -> Path:
    """The work folder of a run that nothing disturbed."""
    return cases("full_for_a_while")[2].with_name("whole")


@pytest.fixture
def stopped(whole, tmp_path) -> Path:
    """The same folder as it was after step 11."""
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / KEPT[-1]).unlink()
    return tmp_path / "run"


def same(a: Path, b: Path) -> bool:
    return not list(differences(state(a), state(b)))


def test_runs_killed_at_ten_random_moments_end_with_the_bits_of_one_that_was_left_alone():
    tool, options = str(ROOT / "tools" / "stress_resume.py"), ["--kills", "10", "--steps", "20", "--seed", "5"]
    codes, text = forked(lambda: sys.exit(runpy.run_path(tool)["main"](options)))
    assert codes == [0], text
    line = json.loads(text.splitlines()[-1])
    assert line["identical"] and line["kills"] == 10 and line["steps"] == 20
    assert line["inside_a_checkpoint"] >= 1 and line["resumes"] >= 1


def test_the_comparison_sees_a_single_bit_and_a_missing_entry(stopped, whole):
    a, b = state(whole), state(whole)
    assert not list(differences(a, b))
    moment = b["loop"]["optimizers"]["parts"][-1]["rest"]["optimizer"]["state"][0]["exp_avg"]
    moment.view(torch.int32).flatten()[3] ^= 1
    assert list(differences(a, b)) == ["['loop']['optimizers']['parts'][-1]['rest']['optimizer']['state'][0]['exp_avg']"]
    del b["weights"]["cameras.K"]
    assert "['weights']" in list(differences(a, b))
    assert not same(stopped, whole)


@pytest.mark.parametrize("place", ["checkpoints/.step_00000011.part-ab12cd_9.pth", ".scalars.part-ab12cd_9.jsonl"])
def test_what_a_killed_run_left_half_written_is_removed_by_the_next(place, stopped, config):
    (stopped / place).write_bytes(b"half")
    (stopped / "checkpoints" / ".mine.pth").write_bytes(b"a user's")
    train(config, stopped)
    assert not (stopped / place).exists() and (stopped / "checkpoints" / ".mine.pth").exists()


def flipped(data: bytes) -> bytes:
    """One value of a tensor is another, all else is in order."""
    at = data.index(b"/data/1") + 1000
    return data[:at] + bytes([data[at] ^ 64]) + data[at + 1:]


TORN = dict(
    empty=lambda data: b"",
    first_byte=lambda data: data[:1],
    head=lambda data: data[:100],
    half=lambda data: data[:len(data) // 2],
    almost_all=lambda data: data[:-1],
    zeros=lambda data: bytes(len(data)),
    zeros_within=lambda data: data[:len(data) // 3] + bytes(512) + data[len(data) // 3 + 512:],
    flipped=flipped,
    garbage=lambda data: bytes(k * k % 251 for k in range(len(data))),
    text=lambda data: b"hello",
)  # yapf: disable


@pytest.mark.parametrize("kind", TORN)
def test_a_torn_newest_checkpoint_is_named_and_the_one_before_it_used(kind, stopped, whole, config):
    newest = stopped / "checkpoints" / KEPT[1]
    newest.write_bytes(TORN[kind](newest.read_bytes()))
    runner = train(config, stopped)
    log = (stopped / "log.txt").read_text()
    assert f"WARNING - {newest}: not a checkpoint, or a damaged one" in log and "trying the previous one" in log
    assert f"resumed from {newest.with_name(KEPT[0])} at step 10" in log and runner.iter == 12
    assert same(stopped, whole)


def test_the_config_that_a_run_wrote_goes_on_with_it_though_its_keys_have_another_order(stopped, whole, config):
    written = Config.fromfile(stopped / "config.py").to_dict()
    both = [made | dict(optim_wrapper={name: made["optim_wrapper"][name] for name in order})
            for made, order in ((written, ("cameras", "rest")), (config, ("rest", "cameras")))]  # yapf: disable
    (stopped / "checkpoints" / KEPT[1]).unlink()
    for k, each in enumerate(both):
        shutil.copytree(stopped, stopped.with_name(f"order_{k}"))
        train(each, stopped.with_name(f"order_{k}"))
        assert same(stopped.with_name(f"order_{k}"), whole)


def test_where_all_checkpoints_are_torn_it_is_said_what_to_do(stopped, config):
    for path in list_checkpoints(stopped):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="none of its 2 checkpoints can be read; without --resume"):
        train(config, stopped)
    train(config, stopped, resume=False)
    assert [path.name for path in (stopped / "checkpoints_before_1").iterdir()]


def test_a_checkpoint_for_which_the_disk_is_too_full_is_one_message(cases):
    code, shown, folder = cases("full_for_a_checkpoint")
    last = shown.splitlines()[-1]
    assert code == 1 and "Traceback" not in shown
    assert last.startswith(
        f"CheckpointError: {folder}/checkpoints/step_00000007.pth: the checkpoint can't be written (File too")
    assert "free some space" in last and "--resume" in last and "are untouched" in last


def test_with_space_again_the_run_ends_as_if_the_disk_had_never_been_full(cases, whole):
    code, _, _ = cases("full_for_a_checkpoint_resumed")
    folder = cases("full_for_a_checkpoint")[2]
    assert code == 0 and names(folder) == KEPT and same(folder, whole)


def test_a_file_system_that_is_really_full_keeps_the_last_good_checkpoint(cases, config, whole):
    code, shown, folder = cases("small_disk")
    if code == 77:
        pytest.skip("no file system may be mounted here")
    assert code == 1 and "(No space left on device; 0.0 MiB are free there)" in shown and "Traceback" not in shown
    kept = folder.with_name("small_disk_copy")
    newest = list_checkpoints(kept)[-1]
    assert not parts(kept) and load_checkpoint(newest)["loop"]["step"] == int(newest.stem[5:]) >= 3
    train(config, kept)
    assert same(kept, whole)


def test_what_is_not_a_checkpoint_may_be_missing_while_the_disk_is_full(cases, whole):
    code, shown, folder = cases("full_for_a_while")
    assert code == 0 and "Traceback" not in shown
    for what in ("scalars.jsonl", "pictures/"):
        assert shown.count(
            f"WARNING - {what} can't be written (File too large: free some space); training continues without") == 1
    assert recorded(folder) == [1, 2, 3, 4, 9, 10, 11, 12]
    assert not [path for path in folder.rglob("*") if ".part-" in path.name]
    assert (folder / "pictures" / "step_00000004.png").exists() and (folder / "pictures" / "step_00000012.png").exists()
    assert same(folder, whole)


@pytest.mark.parametrize("name, message", [
    ("full_for_the_config", "ConfigError: .*can't be copied to the temporary folder .*free some space"),
    ("full_at_the_start", "ConfigError: the work folder .* can't be written .*free some space"),
    ("full_when_testing", ".*metrics.json: can't be written .*free some space"),
    ("full_when_exporting", "DataError: .*mesh.ply: the mesh can't be written .*free some space"),
])
def test_whatever_else_finds_the_disk_full_says_so_in_one_line_and_leaves_no_part(name, message, cases):
    code, shown, folder = cases(name)
    *before, error = shown.splitlines()
    assert code == 1 and re.match(message, error), shown
    assert all("views to train on" in line or line.startswith("warning: ") for line in before), shown
    assert not [path for path in folder.rglob("*") if ".part-" in path.name or path.name == "metrics.json"]


class BadGradient(torch.autograd.Function):
    """The value as it is, and a gradient that is not a number."""

    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("nan")


@LOSSES.register_module(force=True)
class Spoilt(Loss):
    """Keeps distances small, and fails from a step of the stage on: its ``value`` is another, or its gradient is no number."""

    def __init__(self, step: int, value: str = ""):
        super().__init__()
        self.step, self.value = step, value

    def forward(self, outputs, inputs):
        loss = outputs["sdf"].square().mean()
        if self.progress.step < self.step:
            return loss
        return loss * float(self.value) if self.value else BadGradient.apply(loss)


def spoilt(config: dict, **arguments) -> dict:
    """The config with a term that fails in step 8, the fifth of its stage."""
    losses = dict(config["model"]["losses"], spoilt=dict(type="Spoilt", step=4, **arguments))
    return config | dict(model=dict(config["model"], losses=losses))


def assert_last_good_is_kept(folder: Path, step: int) -> None:
    newest = load_checkpoint(list_checkpoints(folder)[-1])
    numbers = [v for v in newest["state_dict"].values() if v.is_floating_point()]
    parts = newest["loop"]["optimizers"]["parts"].values()
    numbers += [v for part in parts for each in part.values() for s in each["optimizer"]["state"].values() for v in s.values()
                if isinstance(v, torch.Tensor)]  # yapf: disable
    assert newest["loop"]["step"] == step and all(bool(torch.isfinite(v).all()) for v in numbers)
    assert names(folder) == [f"step_{k:08d}.pth" for k in range(step - 2, step + 1)]


@pytest.mark.parametrize("value, problem", [("nan", "loss_spoilt is not finite.*checkpoint is kept"),
                                            ("inf", "loss_spoilt is not finite.*checkpoint is kept"),
                                            ("", r"the losses are finite, but the gradient of geometry\.")])  # yapf: disable
def test_a_loss_or_gradient_that_is_no_number_stops_the_run_with_its_name_and_step(value, problem, config, tmp_path):
    with pytest.raises(TrainingError, match=f"step 8, stage 'train': {problem}"):
        train(spoilt(config, value=value), tmp_path)
    assert_last_good_is_kept(tmp_path, 7)


def test_the_run_goes_on_from_the_checkpoint_that_was_kept(config, tmp_path):
    with contextlib.suppress(TrainingError):
        train(spoilt(config, value="nan"), tmp_path / "a")
    train(spoilt(config, value="1"), tmp_path / "a")
    train(spoilt(config, value="1"), tmp_path / "b")
    assert same(tmp_path / "a", tmp_path / "b")


def test_an_interrupt_does_not_save_weights_that_are_no_numbers(config, tmp_path, monkeypatch):

    def spoil(hook, runner, **arguments):
        if runner.iter == 8:
            runner.framework.radiance.lin0.bias.data.fill_(float("nan"))
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(CheckpointHook, "before_train_iter", spoil)  # as a faulty plug-in may do
    with pytest.raises(TrainingError, match="is not finite"):
        train(config, tmp_path)
    assert_last_good_is_kept(tmp_path, 8)


@pytest.mark.parametrize("name", ["interrupted", "terminated"])
def test_a_signal_from_outside_ends_the_command_with_a_checkpoint_of_its_last_step(name, cases, whole):
    code, shown, folder = cases(name)
    assert code == 130 and "--resume" in shown and "Traceback" not in shown
    assert cases(f"{name}_resumed")[0] == 0 and same(folder, whole)


def test_a_second_ctrl_c_ends_the_command_at_once_and_the_run_can_be_resumed(cases, whole):
    code, shown, folder = cases("interrupted_twice")
    assert code == 130 and "Traceback" not in shown
    assert cases("interrupted_twice_resumed")[0] == 0 and same(folder, whole)


def signal_when(monkeypatch, owner, name: str, *numbers: int) -> list:
    """Sends this process signals when a function is called; returns what it was called with."""
    function, calls = getattr(owner, name), []

    def call(*arguments):
        calls.append(arguments)
        for number in numbers if len(calls) == 8 else ():
            os.kill(os.getpid(), number)
        return function(*arguments)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_signals_do_not_cut_off_the_writing_of_a_checkpoint(config, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        signal_when(patch, torch, "save", signal.SIGINT, signal.SIGTERM, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path)
    assert not parts(tmp_path) and load_checkpoint(list_checkpoints(tmp_path)[-1])["loop"]["step"] == 8
    train(config, tmp_path)
    assert same(tmp_path, whole)


def test_a_second_ctrl_c_within_a_step_stops_it_and_costs_that_step_only(config, whole, tmp_path, monkeypatch):
    from deep3dmap.frameworks import IDR
    with monkeypatch.context() as patch:
        signal_when(patch, IDR, "compute_losses", signal.SIGINT, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path)
    assert names(tmp_path)[-1] == "step_00000007.pth"
    train(config, tmp_path)
    assert same(tmp_path, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_within_the_last_checkpoint_of_an_interrupted_run_waits_for_it(number, config, whole, tmp_path, monkeypatch):
    config = config | dict(default_hooks=dict(checkpoint=dict(minutes=None)))
    with monkeypatch.context() as patch:
        monkeypatch.setattr(CheckpointHook, "before_train_iter", lambda hook, runner, **_: os.kill(os.getpid(), signal.SIGINT)
                            if runner.iter == 5 else None)
        save = torch.save
        patch.setattr(torch, "save", lambda *arguments: (os.kill(os.getpid(), number), save(*arguments)))
        with pytest.raises(KeyboardInterrupt) if number == signal.SIGINT else contextlib.nullcontext():
            train(config, tmp_path)
        monkeypatch.undo()
    assert names(tmp_path) == ["step_00000006.pth"]
    train(config, tmp_path)
    assert same(tmp_path, whole)


def test_after_a_run_signals_are_again_what_they_were(config, stopped):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(config, stopped)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_shield_within_a_shield_holds_until_the_outer_one_ends():
    interrupts, reached = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.listen(), interrupts.shield():
        with interrupts.shield():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        reached.append("between")
    assert reached == ["between"] and interrupts.count == 2
