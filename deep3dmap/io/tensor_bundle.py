"""TensorFlow's checkpoints ("tensor bundles"), read without TensorFlow: ``NAME.index`` and ``NAME.data-00000-of-00001``.

The index is a sorted table of strings in LevelDB's file format (``tensorflow/core/lib/io/format.h``), whose values are
protocol buffers (``tensorflow/core/protobuf/tensor_bundle.proto``); the data files hold the tensors' bytes. Bundles are
written uncompressed.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deep3dmap.errors import DataError
from deep3dmap.io.reading import reading

KIND = "a TensorFlow checkpoint"
FOOTER, MAGIC = 48, 0xDB4775248B80FB57
#: The numbers of types in ``tensorflow/core/framework/types.proto``; tensors of other types (text) are left out.
TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


def bundle_index(path: Path) -> Path | None:
    """The index of the bundle that a path means (its name without suffix, its index, or a file of its data), or None."""
    name = path.name.partition(".data-")[0].removesuffix(".index")
    index = path.with_name(f"{name}.index")
    return index if index.is_file() else None


def read_tensor_bundle(index: Path) -> dict[str, np.ndarray]:
    """The numeric tensors of a bundle, by name.

    Raises:
        DataError: if a file is missing or damaged.
    """
    with reading(index, KIND):
        entries = dict(_table(index.read_bytes()))
        shards = int(dict(_fields(entries.pop(b"")))[1])
        tensors = {name.decode(): dict(_fields(entry)) for name, entry in entries.items()}
    tensors = {name: entry for name, entry in tensors.items() if entry.get(1) in TYPES}
    return {name: _tensor(index, shards, name, entry) for name, entry in tensors.items()}


def _tensor(index: Path, shards: int, name: str, entry: dict) -> np.ndarray:
    """A tensor for its entry: 1 the type, 2 the shape, 3 the number of the file, 4 and 5 the offset and size in it."""
    path = index.with_name(f"{index.name.removesuffix('.index')}.data-{entry.get(3, 0):05d}-of-{shards:05d}")
    with reading(path, KIND):
        shape = [dict(_fields(size)).get(1, 0) for field, size in _fields(entry.get(2, b"")) if field == 2]
        if entry.get(5, 0) != math.prod(shape) * np.dtype(TYPES[entry[1]]).itemsize:
            raise DataError(f"{index}: '{name}' of shape {shape} can't have {entry.get(5, 0)} bytes; the file is damaged")
        return np.fromfile(path, TYPES[entry[1]], math.prod(shape), offset=entry.get(4, 0)).reshape(shape)


# --- the table ------------------------------------------------------------------------------------------------------------


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table: its footer points to a block of the positions of blocks."""
    if len(content) < FOOTER or struct.unpack("<Q", content[-8:])[0] != MAGIC:
        raise ValueError("it doesn't end as an index does")
    (_, _, start, size), _ = _numbers(content[-FOOTER:], 0, 4)  # the first two are those of a block of statistics
    for _, handle in _block(content, start, size):
        yield from _block(content, *_numbers(handle, 0, 2)[0])


def _block(content: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key is given by what differs from the one before."""
    if content[start + size] != 0:
        raise ValueError("it is compressed")
    block, key, place = content[start:start + size], b"", 0
    end = size - 4 * (1 + struct.unpack("<I", block[-4:])[0])
    while place < end:
        (shared, added, length), place = _numbers(block, place, 3)
        key = key[:shared] + block[place:place + added]
        place += added + length
        yield key, block[place - length:place]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers of fields and values of a protocol buffer: integers, and the bytes of text and messages."""
    place = 0
    while place < len(message):
        (tag, ), place = _numbers(message, place, 1)
        if tag & 7 == 0:
            (value, ), place = _numbers(message, place, 1)
        elif tag & 7 == 2:
            (length, ), place = _numbers(message, place, 1)
            value, place = message[place:place + length], place + length
        else:
            length = {1: 8, 5: 4}[tag & 7]
            value, place = int.from_bytes(message[place:place + length], "little"), place + length
        yield tag >> 3, value


def _numbers(content: bytes, place: int, count: int) -> tuple[list[int], int]:
    """Integers of seven bits a byte, of which the last has no eighth bit; and the place after them."""
    numbers = []
    for _ in range(count):
        number = shift = 0
        while True:
            byte, place = content[place], place + 1
            number, shift = number | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        numbers.append(number)
    return numbers, place
