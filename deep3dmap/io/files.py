"""Atomic writing of files and folders, and optional files whose failure doesn't stop a run."""

import csv
import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deep3dmap.errors import DataError, Deep3DError

#: Error numbers of a full disk, an exhausted quota and a file size limit.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Names of the files that :func:`replacing` writes to.
PART = re.compile(r"\..+\.part-[a-z0-9_]{8}(\.[^.]+)?")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path next to ``path`` to write to; it atomically replaces ``path`` if the block succeeds.

    Makes missing parent folders. Readers never see a half-written file, and a failed write keeps the old one. Only a killed
    process leaves a part behind; see :func:`remove_parts`.

    Raises:
        DataError: if ``path`` is a folder.
        OSError: if the place can't be written, or the disk is full; the error names the file.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the name of a file to write.")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.part-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # errors of writes don't name the file
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: str | Path, replace: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, with the final folder's name; it is moved into place if the block succeeds.

    If the block fails or is interrupted nothing is left, including newly created parents. What a killed process left is
    removed the next time the same folder is filled.

    Args:
        folder: new, or empty: then it is kept and the content is moved into it.
        replace: replace an existing folder once the new one is complete.

    Raises:
        OSError: if the place can't be written, or the disk is full; like all errors it names files by their final place.
    """
    folder = Path(folder)
    inside = folder.exists() and not replace
    work = folder / ".part" if inside else folder.with_name(f".{folder.name}.part")
    part = work / folder.resolve().name
    made = [path for path in (work, *work.parents) if not path.exists()]
    try:
        remove(work)
        work.mkdir(parents=True)
        yield part
        if inside:
            for path in part.iterdir():
                path.rename(folder / path.name)
        else:
            if replace:
                remove(folder)
            part.rename(folder)
            _sync_folder(folder.parent)
    except Deep3DError as error:
        error.args = (str(error).replace(str(part), str(folder)), )
        raise
    except OSError as error:
        error.filename = str(error.filename or folder).replace(str(part), str(folder))
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()


def _sync_folder(folder: Path) -> None:
    """Make the rename survive a power failure, where the system supports it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows can't open folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def remove_parts(folder: str | Path) -> list[Path]:
    """Remove partial files of killed processes from a folder that no other process writes to; returns their paths."""
    folder = Path(folder)
    parts = [path for path in folder.iterdir() if PART.fullmatch(path.name)] if folder.is_dir() else []
    for path in parts:
        path.unlink(missing_ok=True)
    return parts


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_atomically(path: str | Path, data: bytes) -> Path:
    """Write a file's bytes through :func:`replacing`; returns its path."""
    with replacing(path) as part:
        part.write_bytes(data)
    return Path(path)


def csv_text(columns: Sequence[str], rows: Iterable[Mapping]) -> str:
    """A table as CSV; rows may lack columns, and values of others are omitted."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def reason(error: OSError) -> str:
    """Why a write failed, as the system reports it; with advice for a full disk."""
    text = error.strerror or str(error)
    return f"{text}: free some space" if error.errno in FULL else text


class OptionalFiles:
    """Files that a run can do without: the first failure to write one is a warning, and none stops the run.

    Args:
        what: the files' name in the message.

    Attributes:
        failed: whether the last attempt failed.
    """

    def __init__(self, what: str):
        self.what, self.warned, self.failed = what, False, False

    @contextmanager
    def writing(self, warn: Callable[[str], object]) -> Iterator[None]:
        """A block that writes such a file; ``warn`` gets the message."""
        self.failed = False
        try:
            yield
        except OSError as error:
            self.failed = True
            if not self.warned:
                self.warned = True
                warn(f"{self.what} can't be written ({reason(error)}); training continues without")
