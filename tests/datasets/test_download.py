import hashlib
import io
import json
import zipfile

import pytest

from deep3dmap.datasets.download import download
from deep3dmap.errors import DataError
from tests.io.local_server import serve

FILES = {"templeSparseRing/templeSR0001.png": b"photograph", "templeSparseRing/templeSR_par.txt": b"1\n"}


def archive_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = archive_of(FILES)
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def server():
    with serve(ARCHIVE) as running:
        yield running


def get(server, root, **options):
    return download("temple_sparse_ring", root, url=server.url, **options)


def test_a_data_set_lies_under_its_own_name_without_its_archive_and_its_archives_folder(server, tmp_path):
    folder = get(server, tmp_path)
    assert folder == tmp_path / "temple_sparse_ring"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {name.split("/")[1]: data for name, data in FILES.items()}
    assert {p.name for p in tmp_path.iterdir()} == {"temple_sparse_ring", "temple_sparse_ring.lock.json"}


def test_progress_is_reported_in_plain_lines_where_there_is_no_terminal(server, tmp_path, capsys):
    get(server, tmp_path)
    assert "temple_sparse_ring.zip: 0.0 MB of 0.0 MB" in capsys.readouterr().err


def test_without_a_folder_given_it_lies_where_the_environment_says(server, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(tmp_path / "elsewhere"))
    assert download("temple_sparse_ring", url=server.url) == tmp_path / "elsewhere" / "temple_sparse_ring"


def test_what_is_there_is_downloaded_again_and_replaced_only_by_force(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.sent) == 1
    photograph = get(server, tmp_path) / "templeSR0001.png"
    photograph.write_bytes(b"painted over")
    get(server, tmp_path, force=True)
    assert photograph.read_bytes() == b"photograph"


def test_the_first_downloads_checksum_is_remembered_and_said(server, tmp_path, capsys):
    get(server, tmp_path)
    lock = json.loads((tmp_path / "temple_sparse_ring.lock.json").read_text())
    assert lock["sha256"] == SHA256 and lock["url"] == server.url
    assert "no published checksum is known" in capsys.readouterr().err


def test_a_later_download_that_differs_is_refused_and_the_folder_kept(server, tmp_path):
    folder = get(server, tmp_path)
    server.content = archive_of({"templeSR_par.txt": b"2\n"})
    with pytest.raises(DataError, match=f"earlier download had sha256 {SHA256}, this one has .* delete .*lock.json"):
        get(server, tmp_path, force=True)
    assert (folder / "templeSR_par.txt").read_bytes() == b"1\n"


def test_a_wrong_checksum_is_refused_and_nothing_is_unpacked(server, tmp_path):
    with pytest.raises(DataError, match=f"wrong checksum: expected sha256 {'0' * 64}, got {SHA256}"):
        get(server, tmp_path, sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_the_right_checksum_is_accepted_in_capitals_too(server, tmp_path):
    assert get(server, tmp_path, sha256=SHA256.upper()).is_dir()


def test_what_is_no_checksum_is_refused_before_the_download(server, tmp_path):
    with pytest.raises(DataError, match="'abc' is not a SHA-256"):
        get(server, tmp_path, sha256="abc")
    assert not server.sent


def test_a_folder_that_lost_a_file_is_noticed_and_one_with_more_files_is_not(server, tmp_path):
    (get(server, tmp_path) / "masks").mkdir()
    assert get(server, tmp_path).is_dir()
    (get(server, tmp_path) / "templeSR_par.txt").unlink()
    with pytest.raises(DataError, match="1 of its files are missing .*templeSR_par.txt.*--force"):
        get(server, tmp_path)


def test_an_archive_fetched_by_other_means_is_used(server, tmp_path):
    (tmp_path / "temple_sparse_ring.zip").write_bytes(ARCHIVE)
    assert (get(server, tmp_path) / "templeSR_par.txt").is_file() and not server.sent


def test_a_hostile_archive_leaves_no_data_set(server, tmp_path):
    server.content = archive_of({"../evil": b"1"})
    with pytest.raises(DataError, match="'../evil' would leave the folder"):
        get(server, tmp_path / "data")
    assert {p.name for p in tmp_path.rglob("*")} == {"data", "temple_sparse_ring.zip", "temple_sparse_ring.zip.url"}


def test_an_archive_that_was_refused_is_not_used_for_another_address(server, tmp_path):
    server.content = archive_of({"../evil": b"1"})
    with pytest.raises(DataError):
        get(server, tmp_path)
    server.files["/other.zip"] = ARCHIVE
    folder = download("temple_sparse_ring", tmp_path, url=server.url.replace("scan.zip", "other.zip"))
    assert (folder / "templeSR_par.txt").is_file()
    assert {p.name for p in tmp_path.iterdir()} == {"temple_sparse_ring", "temple_sparse_ring.lock.json"}


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match="did you mean 'dino_sparse_ring'"):
        download("dino_sparse_rings", tmp_path)


def test_a_path_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: can't be created .*--root"):
        download("temple_sparse_ring", tmp_path / "file")
