"""What ``deep3dmap prepare rgbd`` makes of a recording: key frames, fragments, and its fused volume at several resolutions.

One npz for each recording, written at once: ``key_frames`` (k,), ``fragments`` (m, views), ``upright`` (4, 4), ``origin``
(3,), ``voxel_size``, ``tsdf_0``, ``weight_0``, ... by level, each of voxels twice as large, and ``made_of``, the options and
the checksum of the cameras as JSON.
"""

import hashlib
import json
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from deep3dmap.datasets.videos.fragments import key_frames, windows_of
from deep3dmap.datasets.videos.loading import load_recording
from deep3dmap.datasets.videos.sources import generated, is_generated, part_of, upright_from_world
from deep3dmap.errors import DataError
from deep3dmap.geometry.tsdf import DenseVolume, DepthFrame
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes, read_npz
from deep3dmap.structures.recording import Recording

KIND = "a prepared recording"
MOST_VOXELS = 1 << 28  # 2 GB
STRIDE = 4  # pixels: the bounds of a volume are those of every so many-th pixel in each direction


class Options(NamedTuple):
    """How recordings are prepared; see :func:`deep3dmap.apis.prepare.rgbd.prepare_rgbd`."""

    views: int
    min_angle: float
    min_distance: float
    voxel_size: float
    margin: float
    levels: int
    max_depth: float
    every: int


class Source(NamedTuple):
    """Where a recording comes from: a path, or a registered source and the index in it; and the split."""

    place: str | Path | Mapping
    split: str = "all"
    index: int = 0
    test_share: float = 0.2

    def load(self) -> Recording:
        """The recording."""
        if is_generated(self.place):
            return generated(self.place, self.split)[self.index]
        return part_of(load_recording(self.place), self.split, self.test_share)


class Task(NamedTuple):
    """A recording to prepare in a process of its own."""

    source: Source
    file: Path
    options: Options
    overwrite: bool


class Volumes(NamedTuple):
    """The volumes of a recording, in its upright world.

    Attributes:
        tsdf: of each level, finest first, in units of the truncation; 1 in front of surfaces and where nothing was measured.
        origin: the centre of the first voxel, of all levels.
        voxel_size: of the finest level, metres.
    """

    tsdf: list[Float32[np.ndarray, "x y z"]]
    origin: Float[np.ndarray, "3"]
    voxel_size: float


@lru_cache(maxsize=1)
def prepared_volumes(file: Path) -> Volumes:
    """The volumes of a prepared recording; those that were read last are kept.

    Raises:
        DataError: if it has not been prepared, or its file is damaged.
    """
    if not file.is_file():
        raise DataError(
            f"{file}: no such file: the recording isn't prepared; run `deep3dmap prepare rgbd RECORDING -o {file.parent}`")
    first = read_npz(file, KIND, ("origin", "voxel_size", "made_of"))
    levels = range(json.loads(str(first["made_of"]))["levels"])
    arrays = read_npz(file, KIND, [f"tsdf_{level}" for level in levels])
    return Volumes([arrays[f"tsdf_{level}"] for level in levels], first["origin"], float(first["voxel_size"]))


def prepare_recording(task: Task) -> dict:
    """Prepare one recording, unless its file is there and made of the same.

    Returns:
        Figures: numbers of frames, key frames, fragments, voxels of the finest level; seconds of CPU time.

    Raises:
        DataError: if the recording can't be read, has no depth maps or too few key frames; if its file was made with other
            options or of other cameras.
    """
    started, options = time.process_time(), task.options
    recording = task.source.load()
    made_of = options._asdict() | dict(cameras=_checksum(recording))
    if task.file.is_file() and not task.overwrite:
        return _existing(task.file, made_of)
    if recording.depth_intrinsics is None:
        raise DataError(
            f"{recording.name}: has no depth maps; volumes are fused from those of a depth sensor (docs/videos.md)")
    selection = options.views, options.min_angle, options.min_distance
    windows, keys = windows_of(recording, *selection), key_frames(recording.poses, *selection[1:])
    levels = fused(recording, options)
    arrays = {f"{kind}_{number}": array for number, level in enumerate(levels)
              for kind, array in (("tsdf", level.tsdf), ("weight", level.weight))}  # yapf: disable
    write_atomically(task.file, npz_bytes(True, key_frames=np.array(keys), fragments=np.array(windows),
                                          upright=upright_from_world(recording), origin=levels[0].origin,
                                          voxel_size=np.array(options.voxel_size), made_of=np.array(json.dumps(made_of)),
                                          **arrays))  # yapf: disable
    return dict(frames=len(recording), key_frames=len(keys), fragments=len(windows), voxels=int(levels[0].tsdf.size),
                seconds=round(time.process_time() - started, 2))  # yapf: disable


def _existing(file: Path, made_of: dict) -> dict:
    """Figures of a finished file."""
    arrays = read_npz(file, KIND, ("made_of", "key_frames", "fragments"))
    known = json.loads(str(arrays["made_of"]))
    changed = [f"{key}: {known.get(key)}, now {value}" for key, value in made_of.items() if known.get(key) != value]
    if changed:
        raise DataError(
            f"{file}: was made with other options or of other cameras ({'; '.join(changed)}); use the same, make it "
            "again with --overwrite, or choose another output folder")
    return dict(key_frames=len(arrays["key_frames"]), fragments=len(arrays["fragments"]), kept=True)


def _checksum(recording: Recording) -> str:
    data = (np.ascontiguousarray(a, np.float64).tobytes()
            for a in (recording.poses, recording.intrinsics, recording.depth_intrinsics))
    return hashlib.sha256(b"".join(data)).hexdigest()[:16]


def fused(recording: Recording, options: Options) -> list[DenseVolume]:
    """The depth maps of a recording, each ``every``-th with a pose, fused at all levels, finest first, in a box around what
    they measure.

    Raises:
        DataError: if the box has too many voxels, or nothing is measured.
    """
    upright = upright_from_world(recording)
    poses = upright @ recording.poses
    frames = recording.tracked(options.every)
    lower, upper = _bounds(recording, poses, frames, options)
    count = math.prod(((upper - lower) / options.voxel_size).tolist())
    if count > MOST_VOXELS:
        extent = " x ".join(f"{side:.1f}" for side in upper - lower)
        raise DataError(f"{recording.name}: its box of {extent} m would have {count:.3g} voxels; raise --voxel-size, or lower "
                        "--max-depth; or are its poses wrong?")
    levels = [DenseVolume(lower, upper, options.voxel_size * 2**level, options.margin, options.max_depth)
              for level in range(options.levels)]  # yapf: disable
    for k in frames:
        frame = DepthFrame(recording.depth(k), recording.depth_intrinsics[k], poses[k])
        for level in levels:
            level.integrate(frame)
    return levels


def _bounds(recording: Recording, poses: np.ndarray, frames: list[int], options: Options) -> np.ndarray:
    """Lower and upper end of the measured points, with room for the coarsest truncation; whole coarsest voxels."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for k in frames:
        depth = recording.depth(k)[::STRIDE, ::STRIDE]
        v, u = np.nonzero((depth > 0) & (depth <= options.max_depth))
        rays = np.stack([u * STRIDE + 0.5, v * STRIDE + 0.5, np.ones(len(u))], -1) @ np.linalg.inv(
            recording.depth_intrinsics[k]).T
        points = rays * depth[v, u, None] @ poses[k][:3, :3].T + poses[k][:3, 3]
        if len(points):
            low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    if not np.isfinite(low).all():
        raise DataError(f"{recording.name}: no depth up to {options.max_depth:g} m in any frame; raise --max-depth")
    coarsest = options.voxel_size * 2**(options.levels - 1)
    room = options.margin * coarsest
    lower = np.floor((low - room) / coarsest) * coarsest
    return np.stack([lower, lower + np.ceil((high + room - lower) / coarsest) * coarsest])
