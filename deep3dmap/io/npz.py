"""Arrays in npz files: as bytes to write at once, and mapped from the file where they are stored uncompressed.

An npz is a zip of npy files. An uncompressed entry has the same layout in the file as in memory, so its array is
memory-mapped: the operating system loads pages on access, and may evict them again.
"""

import io
import struct
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from deep3dmap.errors import DataError
from deep3dmap.io.reading import reading

LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a zip's entry, ending with the lengths of name and extra field
SMALL = 1 << 16  # bytes below which arrays are read directly: not worth a mapping
SHOWN = 6  # names in a message


def npz_bytes(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    """An npz file; an uncompressed one can be mapped into memory."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def read_npz(path: Path, kind: str, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Arrays of an npz file by name; large ones that are stored uncompressed are read-only maps of the file.

    Args:
        path: of the file.
        kind: what it is, for messages.
        needed: required names.
        optional: names that are read if present.

    Raises:
        DataError: if the file is missing, damaged, cut short, or lacks a needed array.
    """
    with reading(path, kind), zipfile.ZipFile(path) as archive:
        entries = {Path(info.filename).stem: info for info in archive.infolist() if info.filename.endswith(".npy")}
        missing = [name for name in needed if name not in entries]
        if missing:
            raise DataError(
                f"{path}: {kind} must hold {' and '.join(_few(map(repr, needed)))}; it lacks {missing[0]!r} and holds "
                f"{', '.join(_few(sorted(entries))) or 'no arrays'}")
        wanted = [name for name in (*needed, *optional) if name in entries]
        return {name: _array(path, archive, entries[name]) for name in wanted}


def _few(names: Iterable[str]) -> list[str]:
    """The first names, for messages."""
    names = list(names)
    return names if len(names) <= SHOWN else [*names[:SHOWN], f"{len(names) - SHOWN} more"]


def _array(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size < SMALL:
        with archive.open(entry) as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    with open(path, "rb") as file:
        start = _start(file, entry)
        file.seek(start)
        shape, fortran, dtype = _header(file)
        offset = file.tell()
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if dtype.hasobject or offset - start + size != entry.file_size or offset + size > path.stat().st_size:
        raise ValueError(f"{entry.filename} declares {shape} numbers of type {dtype}, but its size differs")
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def _start(file, entry: zipfile.ZipInfo) -> int:
    """Offset of an entry's data: after its local header, whose extra field may differ from the directory's."""
    file.seek(entry.header_offset)
    *_, name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    return entry.header_offset + LOCAL_HEADER.size + name + extra


def _header(file) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)
