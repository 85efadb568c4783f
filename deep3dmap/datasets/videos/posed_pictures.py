"""Recordings from posed pictures: ``transforms.json`` (Instant-NGP, nerfstudio), with depth maps if it names any, and COLMAP.

The readers are those of captures (:mod:`deep3dmap.datasets.readers`). Frames are in the order of the numbers in their files'
names; lens distortion is removed. COLMAP's unit of length is arbitrary, and so is that of a ``transforms.json`` made from it.
The direction up is estimated.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from deep3dmap.datasets.readers import colmap, transforms
from deep3dmap.datasets.readers.base import Frame, Scan, numbers
from deep3dmap.datasets.readers.loading import load_view, pinhole
from deep3dmap.datasets.videos.files import FileRecording, all_there, depth_picture, natural
from deep3dmap.errors import DataError
from deep3dmap.io.reading import read_text, reading

LOOKED_FOR = f"{transforms.LOOKED_FOR}, with depth_file_path for depth maps; {colmap.LOOKED_FOR}"
DEPTH_KEYS = ("depth_file_path", "depth_path")  # nerfstudio's and Instant-NGP's
MILLIMETRE = 0.001


def detect(path: Path) -> bool:
    """Whether a folder holds ``transforms.json`` or a COLMAP model."""
    return path.is_dir() and (transforms.detect(path) or colmap.detect(path))


def read(path: Path) -> FileRecording:
    """The recording in a folder; see the module.

    Raises:
        DataError: if a file is missing or damaged.
    """
    scan = transforms.scan(path) if transforms.detect(path) else colmap.scan(path)
    order = sorted(range(len(scan.frames)), key=lambda k: natural(scan.frames[k].image.as_posix()))
    frames = [replace(scan.frames[k], mask=None) for k in order]
    for frame in frames:
        if frame.defect:
            raise DataError(frame.defect)
    K = np.stack([pinhole(frame, scan.rescale)[0] for frame in frames])
    poses = np.tile(np.eye(4), (len(frames), 1, 1))
    poses[:, :3] = [_camera_to_world(frame.world_to_cam) for frame in frames]
    depths = _depths(scan, order) if transforms.detect(path) else None
    return FileRecording(path, [frame.name for frame in frames], poses, K,
                         [partial(_picture, frame, scan.folder, scan.rescale) for frame in frames], depths)  # yapf: disable


def _camera_to_world(pose: np.ndarray) -> np.ndarray:
    return np.concatenate([pose[:, :3].T, -pose[:, :3].T @ pose[:, 3:]], 1)


def _picture(frame: Frame, folder: Path, rescale: bool) -> UInt8[np.ndarray, "h w 3"]:
    return load_view(frame, folder, rescale).image.numpy()


def _depths(scan: Scan, order: Sequence[int]) -> list[partial] | None:
    """Readers of the depth maps that a ``transforms.json`` names; none if no frame has one."""
    with reading(scan.file, "JSON"):
        document = json.loads(read_text(scan.file))
    named = [next((entry[key] for key in DEPTH_KEYS if isinstance(entry.get(key), str)), None) for entry in document["frames"]]
    if not any(named):
        return None
    if None in named:
        raise DataError(
            f"{scan.file}: frames[{named.index(None)}] has no depth_file_path, but others have one; name a depth map "
            "for every frame, or for none")
    if any(frame.distortion for frame in scan.frames):
        raise DataError(f"{scan.file}: depth maps of pictures with lens distortion can't be read; undistort both first")
    unit = float(numbers(document.get("integer_depth_scale", MILLIMETRE), (), f"{scan.file}: integer_depth_scale"))
    files = all_there((scan.folder / named[k] for k in order), "depth map")
    return [partial(depth_picture, file, unit) for file in files]
