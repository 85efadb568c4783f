"""Numbers in MATLAB's files of versions 5 to 7.2; the format is in "MAT-File Format", The MathWorks.

``scipy.io.loadmat`` ends the process on some damaged files.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deep3dmap.io.reading import reading

HEADER = 128  # bytes; the last two tell the order of bytes
ORDERS = {b"IM": "<", b"MI": ">"}
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # by type of element
MATRIX, COMPRESSED = 14, 15  # types of elements
STRUCT, NUMERIC, OPAQUE = 2, range(6, 16), 16  # classes of matrices
COMPLEX = 0x0800  # flag

#: An element's type and its bytes.
Element = tuple[int, memoryview]


def read_matlab(path: Path) -> dict[str, np.ndarray | dict]:
    """The variables of a ``.mat`` file: arrays, and single structs as dictionaries.

    Complex numbers, texts, cells and others are arrays without dimensions that hold None.

    Raises:
        DataError: if the file is missing, damaged, or of another version (7.3 is HDF5).
    """
    with reading(path, "a .mat file of version 5 to 7.2"):
        data = memoryview(path.read_bytes())
        order = ORDERS[bytes(data[HEADER - 2:HEADER])]
        return dict(_variable(element, order) for element in _elements(data[HEADER:], order))


def _elements(data: memoryview, order: str) -> Iterator[Element]:
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from(f"{order}2I", data, place)
        if kind >> 16:  # at most 4 bytes, which share the tag's place
            kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            start = place + 8
            end = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > min(len(data), end):
            raise ValueError("it is cut short")
        yield kind, data[start:start + size]
        place = end


def _variable(element: Element, order: str) -> tuple[str, np.ndarray | dict]:
    """Name and value of a matrix; compressed ones are unpacked."""
    kind, body = element
    if kind == COMPRESSED:
        (kind, body), *_ = _elements(memoryview(zlib.decompress(body)), order)
    if kind != MATRIX:
        raise ValueError(f"it has an element of type {kind} in place of a matrix")
    if not body:
        return "", np.empty((0, 0))
    flags, shape, name, *parts = _elements(body, order)
    flag = int(_numbers(flags, order)[0])
    if flag & 0xFF > OPAQUE:  # has no shape
        return "", np.array(None)
    return _text(name[1]), _value(flag, _numbers(shape, order), parts, order)


def _value(flag: int, shape: np.ndarray, parts: list[Element], order: str) -> np.ndarray | dict:
    if flag & 0xFF == STRUCT and shape.prod() == 1:
        length, names, *values = parts
        width = int(_numbers(length, order)[0])
        names = [_text(names[1][k:k + width]) for k in range(0, len(names[1]), width)]
        return {name: _variable(value, order)[1] for name, value in zip(names, values)}
    if flag & 0xFF in NUMERIC and not flag & COMPLEX:
        return _numbers(parts[0], order).reshape(shape, order="F")
    return np.array(None)


def _numbers(element: Element, order: str) -> np.ndarray:
    return np.frombuffer(element[1], order + NUMBERS[element[0]])


def _text(data: memoryview) -> str:
    return bytes(data).split(b"\0")[0].decode("latin-1")
