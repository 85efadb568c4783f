"""Reader of TUM RGB-D (Sturm et al., IROS 2012): ``rgb.txt``, ``depth.txt``, ``groundtruth.txt``, associated by their times.

Depth is stored in steps of 1/5000 m. Calibrations are the published ones of the three cameras, by the folder's name
(``freiburg1`` to ``freiburg3``), or ROS's default; or ``camera-intrinsics.txt``, 3x3. They count from the centre of the first
pixel. Lens distortion (of freiburg1 and freiburg2) is removed from pictures and from depth maps, which are registered to them
pixel by pixel. z is up, the floor at 0.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.datasets.readers.distortion import Distortion, resample, undistortion
from deep3dmap.datasets.videos.files import (
    HALF_PIXEL,
    NO_POSE,
    NO_POSES,
    Z_UP,
    FileRecording,
    all_there,
    depth_picture,
    nearest_in_time,
    picture,
    pinhole,
    poses_from,
    read_matrix,
    read_numbers,
    read_rows,
)
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_size
from deep3dmap.io.reading import reading

LOOKED_FOR = "TUM RGB-D: rgb.txt, groundtruth.txt, depth.txt"
CAMERAS = {
    "freiburg1": ((517.3, 516.5, 318.6, 255.3), Distortion(0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    "freiburg2": ((520.9, 521.0, 325.1, 249.7), Distortion(0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    "freiburg3": ((535.4, 539.2, 320.1, 247.6), Distortion()),
}
DEFAULT = (525.0, 525.0, 319.5, 239.5), Distortion()
UNIT = 1 / 5000  # metres
TOLERANCE = 0.02  # seconds


def detect(path: Path) -> bool:
    """Whether a folder holds ``rgb.txt``."""
    return (path / "rgb.txt").is_file()


def read(path: Path) -> FileRecording:
    """The recording in a folder; see the module. Pictures without a depth map at their time are left out.

    Raises:
        DataError: if a file is missing or damaged, or nothing is associated.
    """
    times, images = _listed(path / "rgb.txt")
    notes, depths = [], None
    if (path / "depth.txt").is_file():
        depth_times, files = _listed(path / "depth.txt")
        found = nearest_in_time(times, depth_times, TOLERANCE)
        kept = [k for k, depth in enumerate(found) if depth is not None]
        if not kept:
            raise DataError(
                f"{path / 'depth.txt'}: no depth map within {TOLERANCE} s of any picture of rgb.txt; are both of this "
                "recording?")
        if len(kept) < len(images):
            notes.append(f"{len(images) - len(kept)} of {len(images)} pictures have no depth map within {TOLERANCE} s")
        depths = all_there((files[found[k]] for k in kept), "depth map")
        times, images = times[kept], [images[k] for k in kept]
    K, distortion = _camera(path, notes)
    readers = [[partial(picture, image) for image in images],
               depths and [partial(depth_picture, depth, UNIT) for depth in depths]]  # yapf: disable
    if distortion:
        readers = [each and [partial(_undistorted, read, K, distortion) for read in each] for each in readers]
        K, _ = undistortion(K, distortion, image_size(images[0]))
    return FileRecording(path, [image.stem for image in images], _poses(path / "groundtruth.txt", times), K, *readers, None,
                         Z_UP, 0.0, notes)  # yapf: disable


def _undistorted(read: Callable, K: Float[np.ndarray, "3 3"], distortion: Distortion) -> np.ndarray:
    """A picture, bilinearly, or a depth map, by the nearest pixels, without lens distortion."""
    pixels = read()
    return resample(pixels, undistortion(K, distortion, pixels.shape[:2])[1], nearest=pixels.ndim == 2)


def _listed(file: Path) -> tuple[np.ndarray, list[Path]]:
    """Times in order, and files, of a list."""
    rows = read_rows(file, 2)
    if not rows:
        raise DataError(f"{file}: lists no files")
    with reading(file, "a list of times and files"):
        rows = sorted((float(time), name) for time, name, *_ in rows)
    return np.array([time for time, _ in rows]), [file.parent / name for _, name in rows]


def _poses(file: Path, times: np.ndarray) -> np.ndarray:
    """The poses nearest in time; unknown where there is none."""
    if not file.is_file():
        raise DataError(f"{file}: no such file, so there are {NO_POSES}")
    table = read_numbers(file, 8)
    table = table[np.argsort(table[:, 0], kind="stable")]
    poses = poses_from(table[:, 1:4], table[:, 4:])
    return np.stack([NO_POSE if k is None else poses[k] for k in nearest_in_time(times, table[:, 0], TOLERANCE)])


def _camera(path: Path, notes: list[str]) -> tuple[Float[np.ndarray, "3 3"], Distortion]:
    if (path / "camera-intrinsics.txt").is_file():
        return read_matrix(path / "camera-intrinsics.txt", (3, 3)) + HALF_PIXEL, Distortion()
    camera = next((name for name in CAMERAS if name in path.resolve().name), None)
    if camera is None:
        notes.append(
            f"the folder's name has none of {', '.join(CAMERAS)}, and there is no camera-intrinsics.txt: the camera is "
            "taken for ROS's default (525 pixels)")
    lens, distortion = CAMERAS.get(camera, DEFAULT)
    return pinhole(*lens) + HALF_PIXEL, distortion
