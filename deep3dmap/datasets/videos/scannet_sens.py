"""Reader of ScanNet's ``.sens`` files (version 4), one for each recording, straight from the file.

Little endian: version, the sensor's name, matrices 4x4 (calibrations of colour and depth, each followed by an extrinsic one),
kinds of compression, sizes, steps of depth in a metre, and the number of frames; then for each its pose (camera to world), two
times, the lengths of picture and depth map, and those.
"""

import struct
import zlib
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from deep3dmap.datasets.videos.files import HALF_PIXEL, Z_UP, FileRecording, decoded, metres
from deep3dmap.errors import DataError
from deep3dmap.io.reading import reading

LOOKED_FOR = "ScanNet: a .sens file, or a folder with one"
MATRICES = struct.Struct("<64f")  # colour, its extrinsic one, depth, its extrinsic one
SETTINGS = struct.Struct("<2i4IfQ")
FRAME = struct.Struct("<16f4Q")
RAW_COLOR, RAW_DEPTH, ZLIB_DEPTH = 0, 0, 1


class _Part(NamedTuple):
    """Where a picture or a depth map lies in a file, and how it is stored."""

    path: Path
    name: str
    offset: int
    length: int
    size: tuple[int, int]
    compression: int
    unit: float

    def read(self) -> bytes:
        with reading(self.path, "a .sens file"), open(self.path, "rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def detect(path: Path) -> bool:
    """Whether it is a ``.sens`` file, or a folder that holds one."""
    return path.suffix == ".sens" if path.is_file() else path.is_dir() and len(list(path.glob("*.sens"))) == 1


def read(path: Path) -> FileRecording:
    """The recording in a file; see the module.

    Raises:
        DataError: if it is damaged, of another version, or compressed in a way that ScanNet doesn't use.
    """
    file = path if path.is_file() else next(path.glob("*.sens"))
    with reading(file, "a .sens file"), open(file, "rb") as stream:
        return _parse(path, file, stream)


def _parse(source: Path, path: Path, stream: BinaryIO) -> FileRecording:
    version, length = struct.unpack("<IQ", stream.read(12))
    if version != 4 or length > 1000:
        raise DataError(f"{path}: expected version 4 of .sens, got {version}; export it with ScanNet's SensReader instead")
    stream.seek(length, 1)
    matrices = np.array(_unpack(MATRICES, stream), np.float64).reshape(4, 4, 4)
    color, depth, width, height, depth_width, depth_height, steps, count = _unpack(SETTINGS, stream)
    if depth not in (RAW_DEPTH, ZLIB_DEPTH):
        raise DataError(
            f"{path}: depth maps of compression {depth} can't be read (only raw and zlib can); export the file with "
            "ScanNet's SensReader")
    poses, images, depths = [], [], []
    for number in range(count):
        *pose, _, _, image_bytes, depth_bytes = _unpack(FRAME, stream)
        where, name = stream.tell(), f"{number:06d}"
        poses.append(np.array(pose, np.float64).reshape(4, 4))
        images.append(_Part(path, name, where, image_bytes, (height, width), color, 1.0))
        depths.append(_Part(path, name, where + image_bytes, depth_bytes, (depth_height, depth_width), depth, 1 / steps))
        stream.seek(image_bytes + depth_bytes, 1)
    if not count or stream.tell() > path.stat().st_size:
        raise ValueError(f"it ends within its {count} frames")
    K, depth_K = matrices[0, :3, :3] + HALF_PIXEL, matrices[2, :3, :3] + HALF_PIXEL
    readers = [partial(_image, part) for part in images], [partial(_depth, part) for part in depths]
    return FileRecording(source, [part.name for part in images], np.stack(poses), K, *readers, depth_K, Z_UP, 0.0)


def _unpack(layout: struct.Struct, stream: BinaryIO) -> tuple:
    return layout.unpack(stream.read(layout.size))


def _image(part: _Part) -> UInt8[np.ndarray, "h w 3"]:
    if part.compression == RAW_COLOR:
        return _pixels(part, part.read(), np.uint8, (*part.size, 3))
    return decoded(part.read(), f"{part.path}: frame {part.name}")


def _depth(part: _Part) -> Float32[np.ndarray, "h w"]:
    data = part.read()
    with reading(part.path, f"a .sens file, frame {part.name}"):
        data = zlib.decompress(data) if part.compression == ZLIB_DEPTH else data
    return metres(_pixels(part, data, np.uint16, part.size), part.unit)


def _pixels(part: _Part, data: bytes, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    with reading(part.path, f"a .sens file, frame {part.name}"):
        return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(shape)
