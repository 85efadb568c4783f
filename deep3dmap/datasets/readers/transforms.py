"""Reader and writer of NeRF's and Instant-NGP's ``transforms.json`` (Mildenhall et al. 2020; Müller et al. 2022).

``transform_matrix`` is camera to world with OpenGL axes (x right, y up, looking along -z). Pinhole parameters are at the top
level or in a frame; principal points are relative to the image corner, as here. Masks are images' alpha channels, or a frame's
``mask_path``. Distortion of the OpenCV model is removed from the images; other lenses are refused by name.
"""

import json
import math
import reprlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deep3dmap.datasets.readers import base
from deep3dmap.datasets.readers.base import Frame, Scan
from deep3dmap.datasets.readers.distortion import Distortion
from deep3dmap.datasets.readers.writing import check_no_skew, file_names
from deep3dmap.errors import DataError
from deep3dmap.io.images import IMAGE_SUFFIXES, image_size, write_image
from deep3dmap.io.reading import is_file, is_text, reading
from deep3dmap.structures import Capture

LOOKED_FOR = "NeRF/Instant-NGP: transforms.json, or transforms_train.json"
SPLITS = ("train", "val", "test")
PINHOLE_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL")
REFUSED_KEYS = ("k4", "k5", "k6", "is_fisheye", "rolling_shutter", "ftheta_p0", "lens")
LENS_KEYS = (*REFUSED_KEYS, "camera_model", "camera_angle_x", "camera_angle_y", "fl_x", "fl_y", "cx", "cy", "w", "h", "k1",
             "k2", "p1", "p2", "k3")
OPENGL_TO_OPENCV = np.array([1.0, -1.0, -1.0, 1.0])


def detect(path: Path) -> bool:
    """Whether a folder holds ``transforms.json`` or one of the Blender sets' ``transforms_{train,val,test}.json``."""
    return any((path / name).is_file() for name in ("transforms.json", *_split_files(SPLITS)))


def _split_files(splits: Sequence[str]) -> list[str]:
    return [f"transforms_{split}.json" for split in splits]


def scan(path: Path, split: str | None = None) -> Scan:
    """The views of a NeRF or Instant-NGP folder.

    Args:
        path: the folder.
        split: ``train``, ``val``, ``test`` or ``all`` for ``transforms_{split}.json``; by default ``transforms.json``, or
            ``train`` where there is none.

    Raises:
        DataError: if a file is missing or damaged, or there is no such split.
    """
    files = _files(path, split)
    result = Scan("NeRF/Instant-NGP", path, files[0], [], more_files=files[1:])
    entries = []
    for file in files:
        with reading(file, "JSON"):
            document = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=base.unique_keys)
        if not isinstance(document, dict):
            raise DataError(f"{file}: expected an object with 'frames', got a {type(document).__name__}")
        frames = document.get("frames")
        if not isinstance(frames, list) or not frames:
            raise DataError(f"{file}: 'frames' must be a list of at least one view")
        entries += [(file, i, document, frame) for i, frame in enumerate(frames)]
        if "scene_from_world" in document:
            matrix = base.numbers(document["scene_from_world"], (4, 4), f"{file}: scene_from_world")
            result.scene_from_world = matrix if base.is_similarity(matrix) else None
            if result.scene_from_world is None:
                result.problems.append(f"{file}: scene_from_world: is not a similarity (a uniform scale, a rotation, a "
                                       "translation); remove or fix it")
    parsed = [_frame(path, *entry) for entry in entries]
    names = base.view_names([f.name for f in parsed])
    result.problems += [f"{files[0]}: the image {n} is listed more than once" for n in base.repeated(names)]
    result.frames = [replace(f, name=name) for f, name in zip(parsed, names)]
    return result


def _files(path: Path, split: str | None) -> list[Path]:
    if split not in (None, "all", *SPLITS):
        raise DataError(f"{path}: no split '{split}'; there are {', '.join(SPLITS)} and all")
    if split is None:
        wanted = [n for n in ("transforms.json", *_split_files(SPLITS)) if (path / n).is_file()][:1]
    else:
        wanted = [n for n in _split_files(SPLITS if split == "all" else [split]) if (path / n).is_file()]
    if not wanted:
        raise DataError(f"{path}: holds no {' nor '.join(_split_files(SPLITS if split == 'all' else [split or 'train']))}")
    return [path / n for n in wanted]


def _frame(path: Path, file: Path, index: int, document: dict, entry) -> Frame:
    """A view of one entry; its name is still the image's path."""
    where = f"{file}: frames[{index}]"
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected an object with 'file_path' and 'transform_matrix'")
    for key in ("file_path", "transform_matrix"):
        if key not in entry:
            raise DataError(f"{where}: has no '{key}'")
    relative = _relative(entry["file_path"], f"{where}: file_path")
    suffixes = ("", *IMAGE_SUFFIXES)  # Blender data sets omit the suffix
    image = next((path / (relative + suffix) for suffix in suffixes if is_file(path / (relative + suffix))), path / relative)
    matrix = entry["transform_matrix"]  # 4x4, or 3x4
    rows = 3 if isinstance(matrix, list) and len(matrix) == 3 else 4
    pose = base.pose_from_camera_to_world(base.numbers(matrix, (rows, 4), f"{where}: transform_matrix")[:3] * OPENGL_TO_OPENCV)
    mask = None if entry.get("mask_path") is None else path / _relative(entry["mask_path"], f"{where}: mask_path")
    frame = Frame(relative, image, base.UNKNOWN, pose, f"{where} ({image.name})", mask)
    lens_where = where if any(key in entry for key in LENS_KEYS) else str(file)
    try:
        values = _lens_values(document, entry)
        size = _size(values, lens_where)
        K = _pinhole(values, size or image_size(image), lens_where)
        return replace(frame, K=K, size=size, distortion=_distortion(values, lens_where))
    except DataError as error:  # the other views can still be checked
        return replace(frame, defect=str(error))


def _lens_values(document: dict, entry: dict) -> dict:
    """The parameters of a frame: its own override the shared ones, whether focal length or angle."""
    values = document | entry
    for axis in "xy":
        if f"camera_angle_{axis}" in entry and f"fl_{axis}" not in entry:
            values.pop(f"fl_{axis}", None)
    return values


def _relative(text, where: str) -> str:
    if not isinstance(text, str) or not text or "\0" in text or len(text) > 4096 or not is_text(text):
        raise DataError(f"{where}: expected the path of a file, got {ascii(reprlib.repr(text))}")
    return Path(text.replace("\\", "/")).as_posix()


def _number(values: dict, key: str, default: float, where: str) -> float:
    return float(base.numbers(values[key], (), f"{where}: {key}")) if values.get(key) is not None else default


def _size(values: dict, where: str) -> tuple[int, int] | None:
    if values.get("w") is None or values.get("h") is None:
        return None
    size = _number(values, "h", 0.0, where), _number(values, "w", 0.0, where)
    if not all(math.isfinite(s) and s >= 1 and s == int(s) for s in size):
        raise DataError(f"{where}: the image size w x h must be positive whole numbers, it is {size[1]:g} x {size[0]:g}")
    return int(size[0]), int(size[1])


def _focal(values: dict, axis: str, length: int, where: str) -> float | None:
    """``fl_x``, or computed from ``camera_angle_x``; None without either."""
    if values.get(f"fl_{axis}") is not None:
        return _number(values, f"fl_{axis}", 0.0, where)
    if values.get(f"camera_angle_{axis}") is None:
        return None
    angle = _number(values, f"camera_angle_{axis}", 0.0, where)
    if not 0 < angle < math.pi:
        raise DataError(f"{where}: camera_angle_{axis} must be between 0 and pi, it is {angle:g}")
    return 0.5 * length / math.tan(0.5 * angle)


def _pinhole(values: dict, size: tuple[int, int], where: str) -> np.ndarray:
    height, width = size
    fx, fy = _focal(values, "x", width, where), _focal(values, "y", height, where)
    if fx is None and fy is None:
        raise DataError(f"{where}: no focal length; set fl_x or camera_angle_x (for all frames or for each)")
    fx, fy = fx if fx is not None else fy, fy if fy is not None else fx
    return np.array([[fx, 0, _number(values, "cx", width / 2, where)], [0, fy, _number(values, "cy", height / 2, where)],
                     [0, 0, 1]])


def _distortion(values: dict, where: str) -> Distortion:
    model = values.get("camera_model", "OPENCV")
    if model not in PINHOLE_MODELS:
        raise DataError(f"{where}: the lens model camera_model={reprlib.repr(model)} is not supported; undistort the "
                        f"images first (for example with COLMAP). Supported: {', '.join(PINHOLE_MODELS)}")
    for key in REFUSED_KEYS:
        value = values.get(key)
        if any(value) if isinstance(value, list) else value:  # zeros mean none
            raise DataError(f"{where}: '{key}' ({reprlib.repr(value)}) describes a lens or shutter that is not supported; "
                            "undistort the images first (for example with COLMAP)")
    return Distortion(*(_number(values, k, 0.0, where) for k in ("k1", "k2", "p1", "p2", "k3")))


def write(capture: Capture, path: Path) -> None:
    """Write a capture for NeRF or Instant-NGP: PNG images (masks as alpha) in ``images/``, and ``transforms.json``.

    The normalisation is kept under the additional key ``scene_from_world``; mesh, depth and normals are not stored.

    Raises:
        DataError: if a camera has skew, which the format can't store.
    """
    check_no_skew(capture, "transforms.json")
    cameras = capture.cameras.to("cpu")
    c2w = cameras.cam_to_world.double().numpy() * OPENGL_TO_OPENCV
    pinholes = [dict(fl_x=K[0, 0], fl_y=K[1, 1], cx=K[0, 2], cy=K[1, 2]) for K in cameras.K.double().numpy()]
    shared = all(pinhole == pinholes[0] for pinhole in pinholes)  # then at the top: not every program reads them per frame
    frames = []
    for i, name in enumerate(file_names(capture.names)):
        write_image(path / "images" / f"{name}.png", capture.images[i], None if capture.masks is None else capture.masks[i])
        pose = [*c2w[i].tolist(), [0.0, 0.0, 0.0, 1.0]]
        frames.append(dict(file_path=f"images/{name}.png", transform_matrix=pose) | ({} if shared else pinholes[i]))
    height, width = cameras.size
    document = dict(w=width, h=height, scene_from_world=capture.scene_from_world.tolist(), frames=frames)
    document |= pinholes[0] if shared else {}
    (path / "transforms.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
