"""Reading files that may be missing, damaged or inaccessible: any failure becomes one DataError that names the file.

Decoders (zip, npy, PNG, JSON, glTF, ...) raise a dozen types of exceptions on damaged files. Each file is decoded inside
:func:`reading`, and every folder is searched inside :func:`reaching`; readers need no ``try`` of their own.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deep3dmap.errors import DataError, Deep3DError

COPY_AGAIN = "it may be damaged or cut short: copy it again"


@contextmanager
def reading(path: Path, kind: str, advice: str = COPY_AGAIN) -> Iterator[None]:
    """Wraps the lines that open and decode one file, and no others: *any* exception there becomes an error of the file.

    Args:
        path: of the file.
        kind: what it should be, for the message: ``an image``, ``text``.
        advice: what to do.

    Raises:
        DataError: if there is no such file, or instead of any other exception.
    """
    try:
        if not path.is_file():
            what = kind.removeprefix("an ").removeprefix("a ")
            raise DataError(f"{path}: no such {what}" + ("" if what.startswith("file ") else " file"))
        yield
    except Deep3DError:
        raise
    except Exception as error:
        raise DataError(f"{path}: can't be read as {kind} ({_reason(error, path)}); {advice}") from None


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Wraps the lines that search a folder for files, or write to it.

    Raises:
        DataError: for file system errors: no permission, a name that is too long, a full disk.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{printable(error.filename or path)}: {error.strerror or error}; check the name, the permissions, "
                        "and the disk's health and free space") from None


def output_folder(path: str | Path) -> Path:
    """An output folder, created before anything is computed.

    Raises:
        DataError: if it can't be created.
    """
    with reaching(Path(path)):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = str(error).replace(str(path), "the file")
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__


def read_bytes(path: Path, kind: str) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: if it can't be read.
    """
    with reading(path, kind):
        return path.read_bytes()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, as lower-case hexadecimal.

    Raises:
        DataError: if it can't be read.
    """
    with reading(path, "a file"), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        DataError: if it can't be read or isn't text.
    """
    with reading(path, "text"):
        return path.read_text(encoding="utf-8-sig")


def is_file(path: Path) -> bool:
    """Whether there is such an accessible file; False for invalid names."""
    return _asked(path.is_file)


def exists(path: Path) -> bool:
    """Whether there is such an accessible file or folder; False for invalid names."""
    return _asked(path.exists)


def _asked(question) -> bool:
    try:
        return question()
    except (OSError, ValueError):  # no permission, too long, or not text
        return False


def is_text(name: str) -> bool:
    """Whether a name can be encoded: names on disk and in JSON may contain lone surrogates."""
    return printable(name) == name


def short(text: str) -> str:
    """A token of a file shortened for messages: a damaged file may be a single long token."""
    return text if len(text) <= 60 else text[:60] + "..."


def printable(name: str | Path) -> str:
    """A name with invalid characters escaped."""
    return str(name).encode("utf-8", "backslashreplace").decode()
