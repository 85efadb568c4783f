"""Unpack zip and tar files that nobody has vouched for: nothing leaves the target folder, nothing is left half unpacked.

Every member is checked before the first byte is written: its name (relative, no ``..``, no drive), its kind (plain files and
folders only, neither links nor devices), how often it occurs, and what all of them weigh. What is then written is counted
again, since an archive can lie about sizes. Permissions and owners in the archive are ignored.
"""

import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from deep3dmap.errors import DataError
from deep3dmap.io.fetching import CHUNK, require_space
from deep3dmap.io.files import filling

MAX_MEMBERS = 200_000
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
           UnicodeError)
CLUTTER = ("__MACOSX", ".DS_Store")


@dataclass(frozen=True)
class Member:
    """One plain file of an archive: its checked place, its announced bytes, and how to open it."""

    path: PurePosixPath
    size: int
    open: Callable[[], BinaryIO]


def unpack(archive: Path, folder: Path, *, limit: int) -> dict[str, int]:
    """Unpack an archive to a new folder; a single folder around everything in it is taken off.

    Args:
        archive: a zip file, or a tar file, plain or compressed by gzip, bzip2 or xz.
        folder: must not exist; appears only once everything is unpacked.
        limit: the most bytes that all members together may have.

    Returns:
        The size in bytes of each file, by its path relative to ``folder``.

    Raises:
        DataError: not an archive, damaged, or hostile (names the member); the disk is too small.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists already; it is not unpacked over")
    with filling(folder) as part:
        workplace = part.with_name(f"{part.name}.unpacking")
        with _damage_explained(archive), _opened(archive) as members:
            wanted = _checked(archive, members, limit)
            require_space(archive.parent, sum(m.size for m in wanted), f"unpacking {archive.name}")
            for member in wanted:
                _write(archive, member, workplace)
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
    except RuntimeError as error:  # zipfile's answer to an encrypted member
        raise DataError(f"{archive}: can't be unpacked ({error})") from error


@contextmanager
def _opened(archive: Path):
    """The members of a zip or a tar file, lazily, as (name, size, why it is refused or None, opener or None for a folder)."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield _zip_members(file)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            yield _tar_members(file)
    else:
        with open(archive, "rb") as file:
            start = file.read(40)
        raise DataError(f"{archive}: is neither a zip nor a tar file, it begins with {start!r}; the server may have answered "
                        f"with a web page: download again with --force, or pass another address with --url")


def _zip_members(file: zipfile.ZipFile) -> Iterator[tuple]:
    for info in file.infolist():
        mode = info.external_attr >> 16
        kind = stat.S_IFMT(mode)
        refused = None if kind in (0, stat.S_IFREG, stat.S_IFDIR) else _kind(mode)
        opener = None if info.is_dir() else (lambda info=info: file.open(info))
        yield info.orig_filename, info.file_size, refused, opener


def _tar_members(file: tarfile.TarFile) -> Iterator[tuple]:
    for info in file:
        refused = None if info.isreg() or info.isdir() else "a link" if info.issym() or info.islnk() else "a device or pipe"
        opener = None if info.isdir() else (lambda info=info: file.extractfile(info))
        yield info.name, info.size, refused, opener


def _kind(mode: int) -> str:
    return "a link" if stat.S_ISLNK(mode) else "a device or pipe"


def _checked(archive: Path, members: Iterator[tuple], limit: int) -> list[Member]:
    """The plain files of an archive, all of them checked; folders are made as files need them."""
    wanted: dict[str, Member] = {}
    total = 0
    for count, (name, size, refused, opener) in enumerate(members, 1):
        if refused:
            raise DataError(f"{archive}: refused: its member '{name}' is {refused}; only plain files and folders are unpacked")
        path = _safe_path(archive, name)
        total += size
        if total > limit or count > MAX_MEMBERS:
            raise DataError(f"{archive}: refused at its member '{name}': it would unpack to more than {limit / 1e6:.0f} MB "
                            f"or {MAX_MEMBERS} members")
        if opener is None:
            continue
        key = path.as_posix().casefold()  # some file systems don't tell A from a
        if key in wanted or not path.parts:
            raise DataError(f"{archive}: refused: its member '{name}' occurs twice or has no name")
        wanted[key] = Member(path, size, opener)
    if not wanted:
        raise DataError(f"{archive}: holds no file")
    for key, member in wanted.items():
        if any(parent.as_posix() in wanted for parent in PurePosixPath(key).parents):
            raise DataError(f"{archive}: refused: its member '{member.path}' lies below another file")
    return list(wanted.values())


def _safe_path(archive: Path, name: str) -> PurePosixPath:
    """A member's place below the target folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name:
        raise DataError(f"{archive}: refused: its member {name!r} would leave the folder it is unpacked to")
    if not name.isprintable():
        raise DataError(f"{archive}: refused: its member {name!r} has a name with control characters")
    return path


def _write(archive: Path, member: Member, folder: Path) -> None:
    """Write one member, and no byte more than it announced."""
    target = folder.joinpath(*member.path.parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, open(target, "xb") as file:
        while piece := source.read(CHUNK):
            written += len(piece)
            if written > member.size:
                break
            file.write(piece)
    if written != member.size:
        raise DataError(f"{archive}: its member '{member.path}' announces {member.size} bytes but holds "
                        f"{'more' if written > member.size else written}; download it again with --force")


def _content(workplace: Path) -> Path:
    """The single folder in which an archive wraps everything, or the folder itself."""
    inside = [p for p in workplace.iterdir() if p.name not in CLUTTER]
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else workplace
