"""Checkpoints: plain values only, whole or not there at all, and what is wrong with one is said."""

import collections
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deep3dmap.engine.checkpoint import (
    FORMAT,
    check_plain,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_weights,
    read_pickle,
    save_checkpoint,
)
from deep3dmap.errors import CheckpointError

CHECKPOINT = dict(format=FORMAT, meta={}, info={}, state_dict=dict(w=torch.arange(3.0)), loop=dict(step=3))


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "checkpoints" / "step_00000003.pth"
    save_checkpoint(CHECKPOINT, path)
    return path


@pytest.mark.parametrize("part", [0.0, 0.5, 0.97])
def test_a_truncated_file_is_called_damaged(part, saved):
    data = saved.read_bytes()
    saved.write_bytes(data[:int(part * len(data))])
    with pytest.raises(CheckpointError, match="not a checkpoint, or a damaged one"):
        read_pickle(saved)


def test_a_file_whose_values_are_damaged_is_not_called_hostile(saved, tmp_path):
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data[:20] if name.endswith("data.pkl") else data)
    with pytest.raises(CheckpointError, match="not a checkpoint, or a damaged one"):
        read_pickle(tmp_path / "bad.pth")


@pytest.mark.parametrize("call, message", [
    (lambda tmp_path: read_pickle(tmp_path / "a.pth"), "a.pth: no such checkpoint"),
    (lambda tmp_path: find_checkpoint(tmp_path), "no checkpoint there"),
])  # yapf: disable
def test_missing_files_and_folders_without_checkpoints_are_named(call, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        call(tmp_path)


@pytest.mark.parametrize("other", [dict(state_dict={}), dict(format="deep3dmap-0"), [1]])
def test_another_layout_says_how_published_checkpoints_are_converted(other, tmp_path):
    torch.save(other, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="not a deep3dmap checkpoint.*convert-checkpoint"):
        load_checkpoint(tmp_path / "a.pth")


def test_a_failing_write_leaves_the_old_file_and_no_rubbish(saved, monkeypatch):

    def full(part, data):
        part.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="step_00000003.pth.*No space left.*untouched"):
        save_checkpoint(dict(CHECKPOINT, loop=dict(step=4)), saved)
    assert load_checkpoint(saved)["loop"] == dict(step=3)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_the_file_appears_only_when_it_is_whole(tmp_path, monkeypatch):
    seen = []
    write = torch.save
    monkeypatch.setattr(torch, "save", lambda value, part: (write(value, part), seen.append((tmp_path / "a.pth").exists())))
    save_checkpoint(CHECKPOINT, tmp_path / "a.pth")
    assert seen == [False] and (tmp_path / "a.pth").exists()


@pytest.mark.parametrize("value", [
    True, 3, 2.5, "text", b"bytes", None, torch.float32, torch.Size([2]), torch.ones(2), collections.OrderedDict(a=1),
    collections.Counter("aab"), {1, 2}, (1, [2, dict(a=3j)])
])  # yapf: disable
def test_plain_values_come_back_as_they_were(value, tmp_path):
    save_checkpoint(dict(CHECKPOINT, value=value), tmp_path / "a.pth")
    back = load_checkpoint(tmp_path / "a.pth")["value"]
    assert torch.equal(back, value) if isinstance(value, torch.Tensor) else back == value


@pytest.mark.parametrize("value, name", [(np.float64(1), "numpy.float64"), (np.ones(2), "numpy.ndarray"), (Path("a"), "Path"),
                                         (len, "builtin_function")])
def test_what_could_not_be_read_back_is_refused_with_its_place(value, name, tmp_path):
    with pytest.raises(CheckpointError, match=rf"checkpoint\['info'\]\['deep'\]\[0\] is a .*{name}.*convert it"):
        save_checkpoint(dict(CHECKPOINT, info=dict(deep=[value])), tmp_path / "a.pth")
    assert not (tmp_path / "a.pth").exists()


@pytest.mark.parametrize("call, message", [
    (lambda: check_plain({np.int64(1): 2}), "a key of checkpoint is a numpy.int64"),
    (lambda: load_weights(nn.Linear(4, 2), nn.Linear(3, 2).state_dict(), "file.pth"),
     r"file.pth: .*Linear: weight: \(2, 3\) in the file, \(2, 4\) in the model"),
    (lambda: load_weights(nn.Linear(2, 2), dict(weight=torch.ones(2, 2), scale=torch.ones(1)), "file.pth"),
     r"missing \['bias'\]; unknown \['scale'\]"),
])  # yapf: disable
def test_keys_and_weights_that_do_not_fit_are_named(call, message):
    with pytest.raises(CheckpointError, match=message):
        call()


def test_checkpoints_are_listed_by_step_whatever_their_digits(tmp_path):
    for step in ("2", "10", "00000003"):
        save_checkpoint(CHECKPOINT, tmp_path / "checkpoints" / f"step_{step}.pth")
    save_checkpoint(CHECKPOINT, tmp_path / "checkpoints" / "minute_1.pth")
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_2.pth", "step_00000003.pth", "step_10.pth"]


def test_weights_that_do_not_fit_change_nothing():
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError):
        load_weights(model, dict(weight=torch.zeros(2, 2), bias=torch.zeros(3)), "file.pth")
    assert torch.equal(model.weight, before)


def test_only_the_newest_checkpoints_are_kept(line_config, runner_of, tmp_path):
    runner_of(line_config(default_hooks__checkpoint=dict(steps=3, keep=2, minutes=None)), tmp_path).train()
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_00000015.pth", "step_00000016.pth"]


def test_checkpoints_at_given_minutes_are_kept_for_ever(line_config, runner_of, tmp_path):
    minutes = [1e-6, 2e-6, 50.0]
    runner_of(line_config(default_hooks__checkpoint=dict(at_minutes=minutes, keep=1, minutes=None)), tmp_path).train()
    assert sorted(
        p.name for p in (tmp_path / "checkpoints").iterdir()) == ["minute_1e-06.pth", "minute_2e-06.pth", "step_00000016.pth"]
    assert load_checkpoint(tmp_path / "checkpoints" / "minute_1e-06.pth")["loop"]["step"] >= 1


def test_checkpoints_are_written_every_so_many_minutes(line_config, runner_of, tmp_path):
    runner_of(line_config(default_hooks__checkpoint=dict(minutes=1e-7, keep=0)), tmp_path).train()
    assert len(list_checkpoints(tmp_path)) == 16


def test_a_checkpoint_says_what_it_is_of(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path, seed=4).train()
    checkpoint = load_checkpoint(tmp_path / "checkpoints" / "step_00000016.pth")
    assert checkpoint["meta"]["framework"] == "LineFit" and checkpoint["meta"]["seed"] == 4
    assert checkpoint["info"] == dict(span=[-1.0, 1.0])


def test_a_checkpoint_of_another_model_is_refused_by_its_parameters(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path / "a").train()
    runner = runner_of(dict(model=dict(type="IDR",
                                       geometry=dict(width=8, depth=2, skip=[], features=4),
                                       radiance=dict(width=8, depth=1, features=4),
                                       renderer=dict(type="SphereTracer"),
                                       losses={})), tmp_path / "b")  # yapf: disable
    with pytest.raises(CheckpointError, match=r"don't fit this config's IDR.*missing \['geometry.*unknown \['backbone"):
        runner.load_checkpoint(str(tmp_path / "a" / "checkpoints" / "step_00000016.pth"))
