"""Bad checkpoints, archives and folders, given to the true commands: one clear message, and nothing half-written."""

import io
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.apis import conftest as tiny
from tests.broken import Pwned, contents, refusal, run
from tests.io.local_server import serve

head_file, capture_folder, config_file, work_dir = (tiny.head_file, tiny.capture_folder, tiny.config_file, tiny.work_dir)


@pytest.fixture(params=["zip", "legacy", "pickle"])
def hostile(request, tmp_path) -> Path:
    """A checkpoint that makes a folder when it is unpickled, in torch's present and former format, and as a plain pickle."""
    path, content = tmp_path / "step_00000009.pth", dict(format="deep3dmap-1", state_dict=Pwned(tmp_path))
    if request.param == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip")
    return path


CONSUMERS = {
    "train --resume": ["train", "CONFIG", "--work-dir", "OUT", "--resume", "HOSTILE"],
    "train from weights": ["train", "CONFIG", "--work-dir", "OUT", "--cfg-options", "load_from=HOSTILE"],
    "test": ["test", "CONFIG", "HOSTILE", "--work-dir", "OUT"],
    "export-mesh": ["export-mesh", "HOSTILE", "OUT/mesh.ply"],
    "render-video": ["render-video", "HOSTILE", "OUT/a.gif"],
    "render-video --appearance": ["render-video", "WORK", "OUT/a.gif", "--appearance", "HOSTILE"],
    "convert-checkpoint": ["convert-checkpoint", "HOSTILE", "OUT/b.pth"],
}


@pytest.mark.parametrize("command", CONSUMERS)
def test_a_hostile_checkpoint_is_refused_and_runs_nothing(command, hostile, config_file, work_dir, tmp_path, capsys):
    names = dict(CONFIG=config_file, OUT=tmp_path / "out", HOSTILE=hostile, WORK=work_dir)
    arguments = [str(names.get(a, a)).replace("OUT", str(tmp_path / "out")).replace("HOSTILE", str(hostile))
                 for a in CONSUMERS[command]]  # yapf: disable
    message = refusal(capsys, *arguments)
    assert message.startswith(f"CheckpointError: {hostile}: ") and ("refused" in message or "not a checkpoint" in message)
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint"], ids=["empty", "cut short", "a text"])
def test_what_is_no_checkpoint_is_refused(content, config_file, tmp_path, capsys):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    for command in (["export-mesh", path, tmp_path / "mesh.ply"], ["test", config_file, path, "--work-dir", tmp_path / "out"]):
        assert f"{path}: not a checkpoint, or a damaged one" in refusal(capsys, *command)
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_a_checkpoint_of_another_network_leaves_the_work_folder_as_it_was(config_file, work_dir, tmp_path, capsys):
    shutil.copytree(work_dir, tmp_path / "work")
    before = contents(tmp_path / "work")
    options = ["--cfg-options", "model.geometry.width=24", "train_cfg.max_steps=99"]
    message = refusal(capsys, "train", config_file, "--work-dir", tmp_path / "work", "--resume", *options)
    assert "model.geometry.width: 32 -> 24" in message
    assert contents(tmp_path / "work") == before


def zipped(name: str, content: bytes = b"x", mode: int = 0o100644) -> bytes:
    buffer, info = io.BytesIO(), zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("scan/a.txt", b"a")
        file.writestr(info, content)
    return buffer.getvalue()


def tarred(kind: bytes, target: str) -> bytes:
    buffer, info = io.BytesIO(), tarfile.TarInfo("scan/link")
    info.type, info.linkname = kind, target
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(info)
    return buffer.getvalue()


def bomb() -> bytes:
    """A zip of a few kilobytes that says of itself that it holds many gigabytes."""
    data = bytearray(zipped("scan/bomb", bytes(1000)))
    for entry in (b"PK\x01\x02", b"PK\x03\x04"):
        place = data.rfind(entry) + (24 if entry == b"PK\x01\x02" else 22)
        data[place:place + 4] = (0xFFFFFF00).to_bytes(4, "little")
    return bytes(data)


ARCHIVES = {
    "a name that leads out": (zipped("../evil.txt"), "would leave the folder"),
    "an absolute name": (zipped("/tmp/deep3dmap_evil.txt"), "would leave the folder"),
    "a symbolic link": (zipped("scan/link", b"/etc/passwd", 0o120777), "is a link or device"),
    "a device in a tar": (tarred(tarfile.CHRTYPE, ""), "is a link or device"),
    "a bomb": (bomb(), "would unpack to more than"),
    "a web page": (b"<html>404</html>", "is neither a zip nor a tar file"),
    "a zip cut short": (zipped("scan/b.txt",
                               bytes(range(256)) * 40)[:-60], "zip"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_hostile_archive_is_refused_and_nothing_is_unpacked(case, tmp_path, capsys):
    content, words = ARCHIVES[case]
    (tmp_path / "data").mkdir()
    with serve(content) as server:
        message = refusal(capsys, "download", "temple_sparse_ring", "--root", tmp_path / "data", "--url", server.url)
    assert "temple_sparse_ring.zip: " in message and words in message
    assert {p.name for p in tmp_path.rglob("*")} == {"data", "temple_sparse_ring.zip", "temple_sparse_ring.zip.url"}
    assert not Path("/tmp/deep3dmap_evil.txt").exists()


#: Places that are no data.
NO_DATA = {
    "a folder that is not there": (lambda root: root / "nowhere", "no data '", "download NAME"),
    "a file": (lambda root: root / "file", "is a file; give the folder", "file"),
    "an empty folder": (lambda root: root / "empty", "contains no capture", "Looked for"),
    "photographs without cameras": (lambda root: root / "photos", "photos but no cameras", "colmap automatic_reconstructor"),
}


@pytest.fixture
def places(tmp_path) -> Path:
    """A folder with a file, an empty folder, and one with a photograph."""
    root = tmp_path / "places"
    (root / "empty").mkdir(parents=True)
    (root / "file").write_text("")
    (root / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(root / "photos" / "a.png")
    return root


@pytest.mark.parametrize("case", NO_DATA)
def test_a_place_without_data_is_refused(case, places, config_file, tmp_path, capsys):
    place, *words = NO_DATA[case]
    place = place(places)
    commands = [["train", config_file, "--work-dir", tmp_path / "out", "--cfg-options", f"scene.capture={place}"],
                ["reconstruct", place, "-o", tmp_path / "out"]]  # yapf: disable
    for command in commands:
        message = refusal(capsys, *command)
        assert message.startswith("DataError: ") and all(word in message for word in (str(place), *words))
        assert not (tmp_path / "out").exists()
    assert run("check", place) == 1


#: Commands that write to ``BAD``, a place below a file.
WRITERS = {
    "train": ["train", "CONFIG", "--work-dir", "BAD"],
    "reconstruct": ["reconstruct", "DATA", "-o", "BAD"],
    "test": ["test", "CONFIG", "WORK", "--work-dir", "BAD"],
    "export-mesh": ["export-mesh", "WORK", "BAD/mesh.ply", "--resolution", "8"],
    "render-video": ["render-video", "WORK", "BAD/a.gif", "--frames", "1"],
    "convert-checkpoint": ["convert-checkpoint", "PUBLISHED", "BAD/a.pth"],
    "download": ["download", "temple_sparse_ring", "--root", "BAD"],
}


@pytest.mark.parametrize("below", ["", "/below"], ids=["a file", "below a file"])
@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_can_not_be_written_is_named(command, below, places, config_file, capture_folder, work_dir, tmp_path,
                                                  capsys):  # yapf: disable
    from tests.frameworks.idr.test_published import publish
    bad = f"{places / 'file'}{below}"
    names = dict(CONFIG=config_file, DATA=capture_folder, WORK=work_dir)
    if command == "convert-checkpoint":
        names["PUBLISHED"] = publish(tmp_path, "dtu_fixed_cameras")[0]
    message = refusal(capsys, *(str(names.get(a, a)).replace("BAD", bad) for a in WRITERS[command]))
    assert str(places / "file") in message
    assert (places / "file").read_text() == ""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that nobody can write to")
def test_a_work_folder_that_may_not_be_made_is_named(config_file, capsys):
    message = refusal(capsys, "train", config_file, "--work-dir", "/proc/deep3dmap")
    assert "ConfigError: the work folder /proc/deep3dmap can't be written" in message and "--work-dir" in message
