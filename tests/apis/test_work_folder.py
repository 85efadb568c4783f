"""One run at a time uses a folder, and no two runs mix in it."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from filelock import FileLock

from deep3dmap.apis import train
from deep3dmap.apis.work_folder import TRAINED, earlier_run_moved, locked_folder, picture_paths
from deep3dmap.datasets.readers.base import view_names
from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.errors import ConfigError, TrainingError
from deep3dmap.frameworks.idr import IDR


@pytest.fixture
def holder(tmp_path):
    """The process that holds ``tmp_path/run``."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with locked_folder(tmp_path / "run"):
            os.write(writer, b"1")
            time.sleep(600)
    os.read(reader, 1)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_second_run_in_a_folder_is_refused_with_host_and_process_of_the_first(holder, config_file, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=f"process {holder} on {socket.gethostname()} since"):
        train(config_file, tmp_path / "run", progress=False)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_whose_owner_was_killed_is_free(tmp_path):
    child = os.fork()
    if not child:
        with locked_folder(tmp_path / "run"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (tmp_path / "run" / ".lock.json").exists()
    with locked_folder(tmp_path / "run"):
        pass


def test_a_folder_can_be_locked_again_when_a_run_is_over(tmp_path):
    for _ in range(2):
        with locked_folder(tmp_path):
            (tmp_path / "result").touch()
            assert json.loads((tmp_path / ".lock.json").read_text())["process"] == os.getpid()
        assert (tmp_path / "result").exists() and not (tmp_path / ".lock.json").exists()


def test_a_claim_that_leaves_nothing_removes_the_folders_that_it_made(tmp_path):
    with locked_folder(tmp_path / "new" / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_where_files_cannot_be_locked_a_warning_is_all(tmp_path, monkeypatch, capsys):

    def fail(*arguments, **options):
        raise OSError(37, os.strerror(37))

    monkeypatch.setattr(FileLock, "acquire", fail)
    with locked_folder(tmp_path / "run"):
        (tmp_path / "run" / "result").touch()
    assert (tmp_path / "run" / "result").exists() and str(tmp_path / "run") in capsys.readouterr().err


def test_only_the_first_of_several_processes_claims(holder, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    before = sorted(tmp_path.rglob("*"))
    with locked_folder(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / ".lock.json").read_text())["process"] == holder
    assert sorted(tmp_path.rglob("*")) == before


@pytest.fixture
def used(tmp_path) -> Path:
    """A folder with all that a run leaves, and a user's file."""
    for name in ("config.py", "scalars.jsonl", "checkpoints/step_00000008.pth", "pictures/step_1.png", "mine.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def aside(folder: Path, keep: bool = True):
    return earlier_run_moved(folder, [folder / name for name in TRAINED], folder, keep)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("keep", [True, False])
def test_an_earlier_run_is_moved_together_and_only_what_is_a_runs(keep, used):
    with aside(used, keep):
        (used / "scalars.jsonl").write_text("new")
    earlier = {
        f"earlier_run_1/{name}": name
        for name in ("config.py", "scalars.jsonl", "checkpoints/step_00000008.pth", "pictures/step_1.png")
    }
    assert contents(used) == {"mine.txt": "mine.txt", "scalars.jsonl": "new"} | (earlier if keep else {})


@pytest.mark.parametrize("error", [ConfigError, RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("keep", [True, False])
def test_an_earlier_run_comes_back_if_the_new_one_ends_before_its_first_step(keep, error, used):
    before = contents(used)
    with pytest.raises(error), aside(used, keep):
        (used / "config.py").write_text("new")
        (used / "vis_data").mkdir()
        raise error
    assert contents(used) == before


def test_an_earlier_run_stays_aside_if_the_new_one_fails_later(used):
    with pytest.raises(TrainingError), aside(used):
        (used / "scalars.jsonl").write_text("new")
        raise TrainingError
    assert (used / "earlier_run_1" / "checkpoints" / "step_00000008.pth").exists()


@pytest.mark.parametrize("error", [RuntimeError, TrainingError])
def test_a_run_that_fails_in_its_first_step_leaves_nothing(error, config_file, tmp_path, monkeypatch):

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(IDR, "train_step", fail)
    with pytest.raises(error):
        train(config_file, tmp_path / "run", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_training_in_a_used_folder_starts_with_an_empty_one(config_file, tmp_path, capsys):
    for _ in range(2):
        train(config_file, tmp_path, progress=False, options={"train_cfg.max_steps": 1})
    assert len(list_checkpoints(tmp_path)) == len(list_checkpoints(tmp_path / "earlier_run_1")) == 1
    assert len((tmp_path / "scalars.jsonl").read_text().splitlines()) == 1
    assert len(list((tmp_path / "vis_data").rglob("events*"))) == 1
    assert str(tmp_path / "earlier_run_1") in capsys.readouterr().err


@pytest.mark.parametrize("images", [["head.000.png", "head.001.png"], ["a/000.png", "b/000.png"], ["a/0.png", "a_0.png"],
                                    ["0.png", "0.jpg"], ["a/0.png", "a%2F0.png", "b/0.png"], ["0.png", "0_normals.png"],
                                    ["../a/0.png", "../b/0.png"], ["/a/0.png", "/b/0.png"]])  # yapf: disable
def test_each_view_has_pictures_of_its_own_in_one_folder(images, tmp_path):
    paths = [path for name in view_names(images) for path in picture_paths(tmp_path, name)]
    assert len(set(paths)) == 2 * len(images) and {path.parent for path in paths} == {tmp_path / "pictures"}


@pytest.mark.parametrize("view", ["view_000", "templeSR0001", "head 1 (left)", "Kopf-\u00fc.000"])
def test_a_picture_is_called_as_its_view(view, tmp_path):
    assert [path.name for path in picture_paths(tmp_path, view)] == [f"{view}.png", f"{view}_normals.png"]
