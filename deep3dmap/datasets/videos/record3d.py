"""Reader of Record3D's ``.r3d`` files (a zip), or of such a file unpacked: ``metadata`` (JSON) and ``rgbd/0.jpg, 0.depth``.

``K`` is stored by columns, or for each frame as fx, fy, cx, cy; poses are a quaternion (x, y, z, w) and a position, camera to
world with OpenGL axes; y is up. Depth maps are float32 metres compressed by LZFSE, often smaller than the pictures, whose
field of view they share.
"""

import json
import math
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from deep3dmap.datasets.readers.base import numbers
from deep3dmap.datasets.videos.files import OPENGL_TO_OPENCV, Y_UP, FileRecording, decoded, natural, pinhole, poses_from
from deep3dmap.errors import DataError, MissingDependencyError
from deep3dmap.io.reading import reading

LOOKED_FOR = "Record3D: an .r3d file, or a folder with metadata and rgbd/"
LARGEST_SIDE = 1 << 14  # pixels


def detect(path: Path) -> bool:
    """Whether it is an ``.r3d`` file, or one unpacked to a folder."""
    return path.suffix == ".r3d" if path.is_file() else (path / "metadata").is_file() and (path / "rgbd").is_dir()


def read(path: Path) -> FileRecording:
    """The recording in a file or folder; see the module.

    Raises:
        DataError: if it is damaged or its parts contradict each other.
    """
    where = f"{path}: metadata"
    with reading(path if path.is_file() else path / "metadata", "a Record3D recording"):
        facts, names = json.loads(_bytes(path, "metadata")), _names(path)
    if missing := [key for key in ("w", "h", "poses") if key not in facts]:
        raise DataError(f"{where}: has no '{missing[0]}'; export the recording again as .r3d")
    listed = facts["poses"]
    table = numbers(listed, (len(listed) if isinstance(listed, list) else 0, 7), f"{where}: poses")
    if not names or len(names) != len(table):
        raise DataError(
            f"{where}: lists {len(table)} poses, but rgbd/ holds {len(names)} pictures; export the recording again")
    K, depths, depth_K = _intrinsics(facts, len(names), where), None, None
    if "dw" in facts and "dh" in facts:
        size = _side(facts, "dh", where), _side(facts, "dw", where)
        depths = [partial(_depth, path, f"rgbd/{name}.depth", size) for name in names]
        depth_K = K * (np.array([size[1] / _side(facts, "w", where), size[0] / _side(facts, "h", where), 1])[:, None])
    return FileRecording(path, names,
                         poses_from(table[:, 4:], table[:, :4]) @ OPENGL_TO_OPENCV, K,
                         [partial(_image, path, f"rgbd/{name}.jpg") for name in names], depths, depth_K, Y_UP)


def _names(path: Path) -> list[str]:
    if path.is_file():
        with zipfile.ZipFile(path) as archive:
            files = [Path(name) for name in archive.namelist() if name.startswith("rgbd/")]
    else:
        files = list((path / "rgbd").iterdir())
    return sorted((file.stem for file in files if file.suffix == ".jpg"), key=natural)


def _bytes(path: Path, name: str) -> bytes:
    """A member of the file or folder."""
    if path.is_dir():
        with reading(path / name, "a file of Record3D"):
            return (path / name).read_bytes()
    with reading(path, f"a Record3D recording ({name})"), zipfile.ZipFile(path) as archive:
        return archive.read(name)


def _side(facts: dict, key: str, where: str) -> int:
    value = float(numbers(facts[key], (), f"{where}: {key}"))
    if not (1 <= value <= LARGEST_SIDE and value == int(value)):
        raise DataError(f"{where}: {key} must be a number of pixels, it is {value:g}")
    return int(value)


def _intrinsics(facts: dict, count: int, where: str) -> np.ndarray:
    """K of each frame, or one for all."""
    each = facts.get("perFrameIntrinsicCoeffs")
    if each:
        return np.stack([pinhole(*row) for row in numbers(each, (count, 4), f"{where}: perFrameIntrinsicCoeffs")])
    return numbers(facts.get("K"), (9, ), f"{where}: K").reshape(3, 3).T


def _image(path: Path, name: str) -> UInt8[np.ndarray, "h w 3"]:
    return decoded(_bytes(path, name), f"{path}: {name}")


def _depth(path: Path, name: str, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    try:
        import lzfse
    except ImportError:
        raise MissingDependencyError(f"{path}: the depth maps of Record3D are compressed by LZFSE: pip install lzfse "
                                     "(or deep3dmap[video])") from None
    data = _bytes(path, name)
    with reading(path if path.is_file() else path / name, f"a depth map ({name})"):
        depth = np.frombuffer(lzfse.decompress(data), "<f4")
    if depth.size != math.prod(size):
        raise DataError(f"{path}: {name} holds {depth.size} depths, expected {size[1]}x{size[0]}")
    return np.nan_to_num(depth.reshape(size).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
