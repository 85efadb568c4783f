import dataclasses
import hashlib
import io
import json
import re
import zipfile
from functools import partial

import numpy as np
import pytest

from deep3dmap.datasets.download import SOURCES, digest_of_files, download
from deep3dmap.datasets.heads.ict_face.packing import pack
from deep3dmap.errors import DataError
from tests.datasets.heads.ict_face.published import LAYOUT, VERTICES, obj, published_files
from tests.io.local_server import serve

PUBLIC = SOURCES["ict_face"]
NAMES = tuple(LAYOUT.files())


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(f"ICT-FaceKit-master/{name}"), content)
    return buffer.getvalue()


@pytest.fixture
def server():
    with serve(zipped(published_files())) as running:
        running.files = {f"/kit/{name}": content for name, content in published_files().items()}
        yield running


@pytest.fixture(autouse=True)
def digest(monkeypatch, tmp_path):
    """The data set's source with the made layout; its pinned checksum, computed as ``sha256sum`` would."""
    folder = tmp_path / "reference"
    for name, content in published_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    digest = digest_of_files(folder, NAMES)
    made = dataclasses.replace(SOURCES["ict_face"], sha256=digest, files=NAMES, pack=partial(pack, layout=LAYOUT))
    monkeypatch.setitem(SOURCES, "ict_face", made)
    return digest


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def get(server, root, **options):
    return download("ict_face", root, **dict(url=f"{server.address}/kit/") | options)


def test_single_files_are_fetched_and_packed_into_one(server, root, digest):
    folder = get(server, root)
    with np.load(folder / "ict_face_model.npz") as model:
        np.testing.assert_array_equal(model["mean"][-1], VERTICES[8])
    assert sorted(p.name for p in root.iterdir()) == ["ict_face", "ict_face.lock.json"]
    assert sorted(p.name for p in folder.iterdir()) == ["LICENSE", "ict_face_model.npz"]
    assert json.loads((root / "ict_face.lock.json").read_text())["sha256"] == digest
    assert len(server.sent) == len(NAMES)


def test_the_checksum_is_that_of_what_sha256sum_prints(tmp_path, digest):
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(published_files().items())]
    assert digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_what_is_there_is_not_fetched_again(server, root):
    get(server, root)
    get(server, root)
    assert len(server.sent) == len(NAMES)


def test_files_that_came_before_the_network_failed_are_kept(server, root):
    missing = "/kit/FaceXModel/jawOpen.obj"
    content = server.files.pop(missing)
    with pytest.raises(DataError, match="jawOpen.obj: .*404"):
        get(server, root)
    before = len(server.sent)
    server.files[missing] = content
    assert (get(server, root) / "ict_face_model.npz").is_file()
    assert 0 < before < len(NAMES) and len(server.sent) == len(NAMES)


def test_a_file_whose_transfer_breaks_continues_where_it_stopped(server, root):
    server.cut_after = [10**6, 10**6, 100]  # the third file: the neutral mesh
    get(server, root)
    assert server.sent[2] == 100 and server.sent[3] == len(obj()) - 100


def test_a_file_that_differs_from_what_is_known_is_refused_and_all_are_removed(server, root):
    server.files["/kit/FaceXModel/identity001.obj"] = obj(VERTICES * 2)
    with pytest.raises(DataError, match="wrong checksum: expected sha256"):
        get(server, root)
    assert not list(root.iterdir())


def test_an_archive_of_the_project_will_do(server, root):
    assert (get(server, root, url=server.url) / "ict_face_model.npz").is_file()
    assert sorted(p.name for p in root.iterdir()) == ["ict_face", "ict_face.lock.json"]


def test_a_hostile_archive_leaves_nothing_but_itself(server, root):
    server.content = zipped({"../../evil": b"1"} | published_files())
    with pytest.raises(DataError, match="would leave the folder"):
        get(server, root, url=server.url)
    assert {p.name for p in root.iterdir()} == {"ict_face.zip", "ict_face.zip.url", "ict_face.files.url"}
    assert not (root.parent / "evil").exists()


def test_an_archive_of_something_else_is_refused(server, root):
    server.content = zipped({"readme.txt": b"1", "other.txt": b"2"})
    with pytest.raises(DataError, match="lacks 7 of the data set's 7 files .*leads to something else"):
        get(server, root, url=server.url)


def test_files_larger_than_expected_are_refused(server, root, monkeypatch):
    monkeypatch.setitem(SOURCES, "ict_face", dataclasses.replace(SOURCES["ict_face"], limit=1000))
    with pytest.raises(DataError, match="more than the 0 MB that are expected"):
        get(server, root)


def test_files_that_can_t_be_packed_leave_no_data_set(server, root):
    server.files["/kit/FaceXModel/jawOpen.obj"] = b"<html>"
    monkey = dataclasses.replace(SOURCES["ict_face"], sha256=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "ict_face", monkey)
        with pytest.raises(DataError, match="jawOpen.obj: 9 vertices"):
            get(server, root)
    assert not (root / "ict_face").exists()


def test_the_public_address_is_encrypted_and_of_one_version_with_its_checksum():
    assert re.fullmatch("https://raw.githubusercontent.com/ICT-VGL/ICT-FaceKit/[0-9a-f]{40}", PUBLIC.url)
    assert re.fullmatch("[0-9a-f]{64}", PUBLIC.sha256)
