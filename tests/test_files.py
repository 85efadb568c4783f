"""Files appear whole or not at all, and some may be missing."""

import errno
import os

import pytest

from deep3dmap.files import Spared, remove_parts, replacing, write_atomically


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    path = write_atomically(tmp_path / "x.json", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_failed_write_says_which_file_it_was_though_the_system_does_not(tmp_path):
    with pytest.raises(OSError, match="x.json") as caught, replacing(tmp_path / "x.json"):
        full()
    assert caught.value.filename == str(tmp_path / "x.json")


def test_only_parts_of_files_are_removed(tmp_path):
    with replacing(tmp_path / "x.json") as part:
        left = part.name
    names = [left, ".step_1.part-abcd_123.pth", ".a.part-abcd_123"]
    others = ["x.json", ".x.json", ".x-settings.json", "x.part-abcd_123.pth", ".x.part-abc.pth", ".x.part-ABCDEFGH.pth"]
    for name in names + others:
        (tmp_path / name).touch()
    assert sorted(path.name for path in remove_parts(tmp_path)) == sorted(names)
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    assert remove_parts(tmp_path / "nowhere") == []


def test_a_file_that_may_be_missing_is_told_once_and_stops_nothing():
    told, spared = [], Spared("pictures/")
    for attempt in (full, full, lambda: None):
        with spared.writing(told.append):
            attempt()
    assert told == ["pictures/ can't be written (No space left on device: free some space); training goes on without"]
    assert not spared.failed


def test_other_errors_than_the_systems_are_not_spared():
    with pytest.raises(ValueError), Spared("pictures/").writing(print):
        raise ValueError
