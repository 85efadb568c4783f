"""Recordings in files, and what their readers share.

A reader is a module with ``LOOKED_FOR``, ``detect(path)`` and ``read(path)``, which parses cameras and reads no pixels:
pictures and depth maps are functions, called when a frame is asked for, also by worker processes.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import trimesh
from jaxtyping import Float, Float32, UInt8
from scipy.spatial.transform import Rotation

from deep3dmap.datasets.captures.formats import find_true_mesh
from deep3dmap.datasets.readers.base import numbers
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_files, read_image, size_text
from deep3dmap.io.reading import read_text, reading
from deep3dmap.structures.recording import Recording

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # not to warn beside errors that name a damaged file

NO_POSE = np.full((4, 4), np.nan)
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
HALF_PIXEL = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # added to K of calibrations that count pixels' centres from 0
ROLL = np.sin(np.radians(2))  # by which cameras are usually not held level
Y_UP, Z_UP = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
NO_POSES = ("no camera poses. A reconstruction needs the pose of every picture: record with an app that stores them (ARKit: "
            "ios_logger, Record3D), or compute them with structure from motion, for example `colmap automatic_reconstructor` "
            "or `pip install pycolmap`, and give the folder with images/ and sparse/0/ (docs/videos.md)")


class FileRecording(Recording):
    """A recording of which each frame's picture, and depth map if there are any, is read by a function.

    Args:
        path: of the file or folder, for messages.
        names: of the frames.
        poses: camera to world; not finite where unknown.
        intrinsics: ``K`` of every picture, or one for all.
        images: for each frame, a function that reads its picture.
        depths: for each frame, a function that reads its depth map, metres.
        depth_intrinsics: of the depth maps (default: those of the pictures, which have the same size).
        up: against gravity (default: estimated as the mean of the cameras' upward axes).
        floor: its height along ``up``, if known.
        notes: what was left out or assumed.
    """

    def __init__(self,
                 path: Path,
                 names: Sequence[str],
                 poses: Float[np.ndarray, "n 4 4"],
                 intrinsics: Float[np.ndarray, "*n 3 3"],
                 images: Sequence[Callable[[], UInt8[np.ndarray, "h w 3"]]],
                 depths: Sequence[Callable[[], Float32[np.ndarray, "h w"]]] | None = None,
                 depth_intrinsics: Float[np.ndarray, "*n 3 3"] | None = None,
                 up: Float[np.ndarray, "3"] | None = None,
                 floor: float | None = None,
                 notes: Sequence[str] = ()):
        self.path, self.name, self.names, self.poses = path, recording_name(path), list(names), poses
        self.intrinsics, self.images, self.depths = self._for_each(intrinsics), images, depths
        if depths is not None:
            self.depth_intrinsics = self._for_each(intrinsics if depth_intrinsics is None else depth_intrinsics)
        self.up = estimated_up(poses) if up is None else up
        self.floor, self.notes, self._sizes = floor, list(notes), {}

    @cached_property
    def true_mesh(self) -> trimesh.Trimesh | None:
        """The surface in ``true_mesh.ply`` in the folder, if it is there."""
        return find_true_mesh(self.path) if self.path.is_dir() else None

    def _for_each(self, K: np.ndarray) -> np.ndarray:
        return np.broadcast_to(K, (len(self.names), 3, 3)).astype(np.float64)

    def image(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of a frame.

        Raises:
            DataError: if it can't be read, or has another size than the first one that was read.
        """
        return self._same_size("picture", index, self.images[index]())

    def depth(self, index: int) -> Float32[np.ndarray, "h w"]:
        """Depth of a frame, metres; errors as of :meth:`image`, and if there are no depth maps."""
        if self.depths is None:
            raise DataError(f"{self.path}: has no depth maps; this needs a recording by a depth sensor (docs/videos.md)")
        return self._same_size("depth map", index, self.depths[index]())

    def _same_size(self, kind: str, index: int, pixels: np.ndarray) -> np.ndarray:
        first, size = self._sizes.setdefault(kind, (index, pixels.shape[:2]))
        if size != pixels.shape[:2]:
            raise DataError(
                f"{self.path}: the {kind} of frame {self.names[index]} is {size_text(pixels.shape[:2])} but that of frame "
                f"{self.names[first]} is {size_text(size)}; all {kind}s of a recording must have one size")
        return pixels


def recording_name(path: Path) -> str:
    """The name of a recording: its file's or folder's; of a sequence of a scene (``seq-01``), with the scene's before it."""
    path = path.resolve()
    return f"{path.parent.name}_{path.name}" if path.name.startswith("seq") else path.stem


def estimated_up(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "3"]:
    """The direction to which the cameras' upward axes (-y) point on average, made perpendicular to their x axes.

    Who films looks down more often than up, but holds the camera level: x axes in different directions span the horizon.
    """
    axes = poses[np.isfinite(poses).all((1, 2)), :3, :3]
    across, mean = axes[..., 0], -axes[..., 1].sum(0)
    up = np.linalg.solve(across.T @ across + ROLL**2 * max(len(axes), 1) * np.eye(3), mean)
    length = np.linalg.norm(up)
    return up / length if length > 0 else Z_UP


def picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of an image file."""
    return read_image(path).numpy()


def decoded(data: bytes, where: str) -> UInt8[np.ndarray, "h w 3"]:
    """The colours of a JPEG or PNG in memory.

    Raises:
        DataError: if it is none.
    """
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise DataError(f"{where}: is not a picture; the file may be damaged or cut short: copy it again")
    return np.ascontiguousarray(image[..., ::-1])


def depth_picture(path: Path, unit: float = 0.001) -> Float32[np.ndarray, "h w"]:
    """Depth in an image file of 16 bits; 0 and the largest value mean unknown.

    Args:
        path: of the file.
        unit: metres in a step.

    Raises:
        DataError: if it can't be read, or has 8 bits or colours.
    """
    with reading(path, "a depth map"):
        depth = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if depth is None:
        raise DataError(f"{path}: is not a picture; the file may be damaged or cut short: copy it again")
    if depth.ndim != 2 or depth.dtype != np.uint16:
        raise DataError(f"{path}: expected a depth map, a grey image of 16 bits, got {depth.dtype} "
                        f"{'x'.join(map(str, depth.shape))}")
    return metres(depth, unit)


def metres(depth: np.ndarray, unit: float) -> Float32[np.ndarray, "h w"]:
    """Depths of a sensor as it stores them, 16 bits, in metres; its largest value means unknown."""
    return np.where(depth == 0xFFFF, 0, depth * np.float32(unit)).astype(np.float32)


def read_matrix(path: Path, shape: tuple[int, int]) -> Float[np.ndarray, "a b"]:
    """A matrix in a text file, possibly with entries that are not finite.

    Raises:
        DataError: if there is no such file, or it holds something else.
    """
    with reading(path, "a matrix in text"):
        values = [float(word) for word in read_text(path).replace(",", " ").split()]
    if len(values) != shape[0] * shape[1]:
        raise DataError(f"{path}: expected {shape[0]}x{shape[1]} numbers, got {len(values)}")
    return np.array(values).reshape(shape)


def read_poses(paths: Sequence[Path]) -> Float[np.ndarray, "n 4 4"]:
    """Poses in a file each; where there is no file, it is unknown."""
    return np.stack([read_matrix(path, (4, 4)) if path.is_file() else NO_POSE for path in paths])


def read_rows(path: Path, columns: int) -> list[list[str]]:
    """The lines of a table in text, separated by blanks or commas, without comments (#).

    Raises:
        DataError: if a line has fewer columns; names it.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if words and len(words) < columns:
            raise DataError(f"{path}: line {number} has {len(words)} columns, expected {columns}")
        rows += [words] if words else []
    return rows


def read_numbers(path: Path, columns: int) -> Float[np.ndarray, "n columns"]:
    """The first columns of such a table, as numbers.

    Raises:
        DataError: if it is empty or one isn't a number.
    """
    rows = [row[:columns] for row in read_rows(path, columns)]
    with reading(path, "a table of numbers"):
        return numbers([[float(word) for word in row] for row in rows], (len(rows), columns), str(path))


def poses_from(positions: Float[np.ndarray, "n 3"], quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4 4"]:
    """Camera to world by positions and quaternions (x, y, z, w) of any length; not finite for those that are not, or zero."""
    poses = np.broadcast_to(NO_POSE, (len(positions), 4, 4)).copy()
    known = np.isfinite(positions).all(1) & np.isfinite(quaternions).all(1) & (np.abs(quaternions).max(1) > 0)
    poses[known] = np.eye(4)
    if known.any():
        poses[known, :3, :3] = Rotation.from_quat(quaternions[known]).as_matrix()
    poses[known, :3, 3] = positions[known]
    return poses


def pinhole(fx: float, fy: float, cx: float, cy: float) -> Float[np.ndarray, "3 3"]:
    """``K``."""
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def nearest_in_time(times: Float[np.ndarray, "n"], others: Float[np.ndarray, "m"], tolerance: float) -> list[int | None]:
    """For each time the index of the nearest of others, which must be in order; None where it is too far away."""
    after = np.clip(np.searchsorted(others, times), 1, max(len(others) - 1, 1))
    nearest = np.where(times - others[after - 1] <= others[np.minimum(after, len(others) - 1)] - times, after - 1, after)
    nearest = np.minimum(nearest, len(others) - 1)
    return [int(k) if abs(others[k] - time) <= tolerance else None for k, time in zip(nearest, times)]


def natural(path: Path | str) -> list:
    """Key to sort names by the numbers in them: ``2.jpg`` before ``10.jpg``."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", str(path))]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder, by their numbers."""
    return sorted(image_files(folder), key=lambda path: natural(path.name))


def all_there(paths: Iterable[Path], what: str) -> list[Path]:
    """Paths of files that a recording needs.

    Raises:
        DataError: if one is missing; names the first, and how many.
    """
    paths = list(paths)
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]}: no such {what}, nor {len(missing) - 1} others of {len(paths)}; copy the whole recording")
    return paths
