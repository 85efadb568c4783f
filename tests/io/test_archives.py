import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.archives import unpack

LIMIT = 1_000_000


def zip_of(path: Path, members: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def tar_of(path: Path, name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "") -> Path:
    with tarfile.open(path, "w:gz") as file:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(content), link
        file.addfile(info, io.BytesIO(content))
    return path


def everything_below(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")}


def refuses(tmp_path: Path, archive: Path, reason: str):
    """Unpacking fails with this reason, and nothing but the archive lies anywhere below the test's folder."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True, exist_ok=True)
    before = everything_below(tmp_path)
    with pytest.raises(DataError, match=reason):
        unpack(archive, inside / "out", limit=LIMIT)
    assert everything_below(tmp_path) == before


def test_a_zip_is_unpacked_with_its_folders(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"image/1.png": b"one", "par.txt": b"two", "empty/": b""})
    assert unpack(archive, tmp_path / "out", limit=LIMIT) == {"image/1.png": 3, "par.txt": 3}
    assert (tmp_path / "out/image/1.png").read_bytes() == b"one"


@pytest.mark.parametrize("compression", ["", "gz", "bz2", "xz"])
def test_a_tar_is_unpacked_whatever_its_compression(tmp_path, compression):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/par.txt").write_bytes(b"two")
    with tarfile.open(tmp_path / "x.tar", f"w:{compression}") as file:
        file.add(tmp_path / "source", ".")
    assert unpack(tmp_path / "x.tar", tmp_path / "out", limit=LIMIT) == {"par.txt": 3}


def test_a_single_folder_around_everything_is_taken_off(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"templeSparseRing/par.txt": b"1", "__MACOSX/templeSparseRing/._par.txt": b"2"})
    assert unpack(archive, tmp_path / "out", limit=LIMIT) == {"par.txt": 1}


def test_permissions_in_the_archive_are_ignored(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"run": b"1"}, mode=stat.S_IFREG | stat.S_ISUID | 0o777)
    unpack(archive, tmp_path / "out", limit=LIMIT)
    assert not (tmp_path / "out/run").stat().st_mode & (stat.S_ISUID | 0o111)


@pytest.mark.parametrize("make, reason", [
    *((lambda path, name=name: zip_of(path, {"fine": b"1", name: b"2"}), "evil' would leave the folder")
      for name in ("../evil", "x/../../evil", "/evil", "..\\evil", "C:\\evil", "c:evil", "//server/evil")),
    *((lambda path, name=name: tar_of(path, name, content=b"1"), "evil' would leave the folder")
      for name in ("../evil", "/evil")),
    *((lambda path, kind=kind: zip_of(path, {"way-out": b"/etc"}, kind | 0o777), "'way-out' is a link or device")
      for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO)),
    *((lambda path, kind=kind: tar_of(path, "way-out", kind, link="/etc/passwd"), "'way-out' is a link or device")
      for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)),
    (lambda path: zip_of(path, {"a": b"1", "A": b"2"}), "'A' occurs twice"),
    (lambda path: zip_of(path, {"a": b"1", "a/b": b"2"}), "damaged.*a/b'"),
    (lambda path: tar_of(path, "a\x1b[2Jb", content=b"1"), "control characters"),
    (lambda path: zip_of(path, {}), "holds no file"),
    (lambda path: path.write_bytes(b"<!DOCTYPE html><title>Sign in</title>") and path,
     "neither a zip nor a tar.*DOCTYPE.*web page"),
])  # yapf: disable
def test_names_links_and_kinds_that_are_not_safe_are_refused(tmp_path, make, reason):
    refuses(tmp_path, make(tmp_path / "x.archive"), reason)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"zeros": bytes(LIMIT + 1)})
    assert archive.stat().st_size < 5000
    refuses(tmp_path, archive, "'zeros': it would unpack to more than 1 MB")


def test_a_member_that_lies_about_its_size_is_refused(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"zeros": bytes(5000)})
    archive.write_bytes(archive.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    refuses(tmp_path, archive, "damaged|announces")


def test_a_zip_with_the_separators_of_windows_is_unpacked_with_its_folders(tmp_path):
    assert unpack(zip_of(tmp_path / "x.zip", {"image\\1.png": b"one", "par.txt": b"two"}), tmp_path / "out",
                  limit=LIMIT) == {"image/1.png": 3, "par.txt": 3}  # yapf: disable


@pytest.mark.parametrize("mtime", ["nan", "1e30"])
def test_a_tar_of_an_impossible_time_is_refused(tmp_path, mtime):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as file:
        info = tarfile.TarInfo("a")
        info.pax_headers = {"mtime": mtime}
        file.addfile(info)
    refuses(tmp_path, tmp_path / "x.tar", "damaged")


def test_a_damaged_member_leaves_nothing_behind(tmp_path):
    archive = zip_of(tmp_path / "x.zip", {"fine": b"1" * 9, "noise": bytes(range(256)) * 20})
    content = bytearray(archive.read_bytes())
    content[content.index(b"noise") + 30] ^= 0xFF
    archive.write_bytes(content)
    refuses(tmp_path, archive, "damaged")


def test_a_truncated_tar_leaves_nothing_behind(tmp_path):
    archive = tar_of(tmp_path / "x.tgz", "a", content=bytes(range(256)) * 300)
    archive.write_bytes(archive.read_bytes()[:-200])
    refuses(tmp_path, archive, "damaged|neither a zip nor a tar")


def test_a_folder_that_is_there_is_not_unpacked_over(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="exists already"):
        unpack(zip_of(tmp_path / "x.zip", {"a": b"1"}), tmp_path / "out", limit=LIMIT)
