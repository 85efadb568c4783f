"""Files appear whole or not at all, and some may be missing."""

import errno
import os
import signal
from contextlib import nullcontext
from pathlib import Path

import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.files import OptionalFiles, atomic_folder, remove_parts, replacing, write_atomically


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


@pytest.mark.parametrize("folder", ["new", "on/the/way"])
def test_a_folder_appears_once_it_is_complete(folder, tmp_path):
    with atomic_folder(tmp_path / folder) as part:
        write_atomically(part / "a" / "b", b"1")
        assert part.name == Path(folder).name and not (tmp_path / folder).exists()
    assert [path.relative_to(tmp_path / folder) for path in tmp_path.rglob("*") if path.is_file()] == [Path("a/b")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError, OSError])
@pytest.mark.parametrize("folder, there", [("new", []), ("on/the/way", []), ("empty", ["empty"]), (".", [])])
def test_of_a_folder_that_is_not_completed_nothing_is_left(folder, there, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(error), atomic_folder(folder) as part:
        write_atomically(part / "a" / "b", b"1")
        raise error
    assert [path.name for path in tmp_path.rglob("*")] == there


def test_an_empty_folder_is_filled_and_stays(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with atomic_folder(".") as part:
        write_atomically(part / "a" / "b", b"1")
    assert part.name == "empty" and Path("a/b").read_bytes() == b"1" and os.listdir() == ["a"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_an_older_folder_is_replaced_by_a_complete_one_only(error, tmp_path):
    write_atomically(tmp_path / "x" / "old", b"")
    with pytest.raises(error) if error else nullcontext(), atomic_folder(tmp_path / "x", replace=True) as part:
        write_atomically(part / "new", b"")
        if error:
            raise error
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "old" if error else "new"]


def test_what_a_killed_process_left_of_a_folder_goes_with_the_next(tmp_path):
    child = os.fork()
    if not child:
        with atomic_folder(tmp_path / "x") as part:
            write_atomically(part / "old", b"")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert list(tmp_path.rglob("old"))
    with atomic_folder(tmp_path / "x") as part:
        write_atomically(part / "new", b"")
    assert [path.name for path in tmp_path.rglob("*")] == ["x", "new"]


def test_what_fails_in_a_folder_is_named_by_its_final_place(tmp_path):
    for make, named in ((full, tmp_path / "x"), (lambda part: (part / "missing").stat(), tmp_path / "x" / "missing")):
        with pytest.raises(OSError) as caught, atomic_folder(tmp_path / "x") as part:
            make(part)
        assert caught.value.filename == str(named)
    with pytest.raises(DataError, match=f"^{tmp_path}/x/a.png: broken$"), atomic_folder(tmp_path / "x") as part:
        raise DataError(f"{part}/a.png: broken")


def test_a_file_that_may_be_missing_is_told_once_and_stops_nothing():
    warned, optional = [], OptionalFiles("pictures/")
    for attempt in (full, full, lambda: None):
        with optional.writing(warned.append):
            attempt()
    assert warned == ["pictures/ can't be written (No space left on device: free some space); training continues without"]
    assert not optional.failed


def test_other_errors_than_the_systems_are_not_spared():
    with pytest.raises(ValueError), OptionalFiles("pictures/").writing(print):
        raise ValueError
