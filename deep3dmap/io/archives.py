"""Unpack untrusted zip and tar files: nothing is written outside the target folder, nothing is left partly unpacked.

``zipfile`` and ``tarfile`` (by its ``data`` filter) keep members below the folder and ignore owners and special permissions.
What no data set needs is refused before the first byte is written: names that escape the folder or clash, links and devices
(before Python 3.11.13 links can escape the filter), and too many bytes.
"""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from deep3dmap.errors import DataError
from deep3dmap.io.fetching import require_space
from deep3dmap.io.files import atomic_folder

MAX_MEMBERS = 200_000
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
           ValueError, OverflowError, FileExistsError, IsADirectoryError, NotADirectoryError)
CLUTTER = ("__MACOSX", ".DS_Store")


def unpack(archive: Path, folder: Path, *, limit: int) -> dict[str, int]:
    """Unpack an archive to a new folder; a single top-level folder is stripped.

    Args:
        archive: a zip file, or a tar file, plain or compressed by gzip, bzip2 or xz.
        folder: must not exist; appears only once everything is unpacked.
        limit: maximum total size of all members, bytes.

    Returns:
        The size in bytes of each file, by its path relative to ``folder``.

    Raises:
        DataError: not an archive, damaged, or malicious (names the member); the disk is too small.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists already; it is not overwritten")
    with atomic_folder(folder) as part:
        workplace = part.with_name(f"{part.name}.unpacking")
        with _damage_explained(archive), _opened(archive) as file:
            members, size = _checked(archive, file, limit)
            require_space(archive.parent, size, f"unpacking {archive.name}")
            file.extractall(workplace, members)
        _content(workplace).replace(part)
    return file_sizes(folder)


def file_sizes(folder: Path) -> dict[str, int]:
    """The size in bytes of each file below a folder, by its relative path."""
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


@contextmanager
def _damage_explained(archive: Path):
    try:
        yield
    except DAMAGED as error:
        raise DataError(f"{archive}: the archive is damaged or of an unknown kind ({error}); "
                        f"download it again with --force") from error
    except RuntimeError as error:  # raised by zipfile for encrypted members
        raise DataError(f"{archive}: can't be unpacked ({error})") from error


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield file
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            file.extraction_filter = tarfile.data_filter
            yield file
    else:
        with open(archive, "rb") as file:
            start = file.read(40)
        raise DataError(f"{archive}: is neither a zip nor a tar file, it begins with {start!r}; the server may have answered "
                        f"with a web page: download again with --force, or pass another address with --url")


def _members(file: zipfile.ZipFile | tarfile.TarFile) -> Iterator[tuple]:
    """Each member as its header is read, with its name, bytes, and whether it is a folder, and either that or a plain file."""
    if isinstance(file, tarfile.TarFile):
        yield from ((m, m.name, m.size, m.isdir(), m.isdir() or m.isreg()) for m in file)
    else:
        for m in file.infolist():
            m.filename = m.filename.replace("\\", "/")  # as old Windows programs write it
            kind = stat.S_IFMT(m.external_attr >> 16)
            yield m, m.orig_filename, m.file_size, m.is_dir(), kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _checked(archive: Path, file: zipfile.ZipFile | tarfile.TarFile, limit: int) -> tuple[list, int]:
    """All members of an archive after checking each, and their total size in bytes."""
    members, files, total = [], set(), 0
    for member, name, size, is_folder, is_plain in _members(file):
        members.append(member)
        total += size
        path = PurePosixPath(name.casefold().replace("\\", "/"))  # some file systems are case-insensitive
        if not name.isprintable():
            raise DataError(f"{archive}: refused: its member {name!r} has a name with control characters")
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise DataError(f"{archive}: refused: its member '{name}' would leave the folder it is unpacked to")
        if not is_plain:
            raise DataError(f"{archive}: refused: its member '{name}' is a link or device; only plain files and folders are "
                            "unpacked")
        if total > limit or len(members) > MAX_MEMBERS:
            raise DataError(f"{archive}: refused at its member '{name}': it would unpack to more than {limit / 1e6:.0f} MB "
                            f"or {MAX_MEMBERS} members")
        if path in files:
            raise DataError(f"{archive}: refused: its member '{name}' occurs twice")
        if not is_folder:
            files.add(path)
    if not files:
        raise DataError(f"{archive}: holds no file")
    return members, total


def _content(workplace: Path) -> Path:
    """The single folder in which an archive wraps everything, or the folder itself."""
    inside = [p for p in workplace.iterdir() if p.name not in CLUTTER]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else workplace
