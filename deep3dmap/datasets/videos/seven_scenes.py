"""Reader of 7-Scenes (Shotton et al., CVPR 2013) and of recordings in its layout, as tsdf-fusion-python (Zeng) has them.

``frame-000000.color.png`` (or ``.jpg``), ``.depth.png`` (millimetres; 0 and 65535 unknown), ``.pose.txt`` (camera to world).
``camera-intrinsics.txt`` is ``K``; without it, it is that of 7-Scenes. Both state nominal principal points, half of the
picture, so they count from its corner as here. The direction up is estimated: the world's axes are those of the first camera.

The ``K`` and the poses of 7-Scenes are those of the Kinect's depth camera. Its colour camera is 25 mm to the right, with a
focal length of 525 pixels: that is the camera of the recording here, and depth maps are carried over to it.
"""

from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from deep3dmap.datasets.videos.files import (
    FileRecording,
    all_there,
    depth_picture,
    natural,
    picture,
    pinhole,
    read_matrix,
    read_poses,
)
from deep3dmap.errors import DataError
from deep3dmap.io.images import IMAGE_SUFFIXES, image_size, size_text

LOOKED_FOR = "7-Scenes: frame-000000.color.png or .jpg, .depth.png, .pose.txt; camera-intrinsics.txt"
KINECT, KINECT_SIZE = pinhole(585.0, 585.0, 320.0, 240.0), (480, 640)
KINECT_COLOR, COLOR_TO_DEPTH = pinhole(525.0, 525.0, 320.0, 240.0), 0.025  # metres along x


def detect(path: Path) -> bool:
    """Whether a folder holds ``frame-*.color.*``."""
    return path.is_dir() and any(path.glob("frame-*.color.*"))


def read(path: Path) -> FileRecording:
    """The recording in a folder; see the module.

    Raises:
        DataError: if a file is missing or damaged.
    """
    images = sorted((p for p in path.glob("frame-*.color.*") if p.suffix.lower() in IMAGE_SUFFIXES), key=natural)
    names = [image.name.partition(".")[0] for image in images]
    depths = [path / f"{name}.depth.png" for name in names]
    depths = all_there(depths, "depth map") if any(depth.is_file() for depth in depths) else None
    K, file = KINECT, path / "camera-intrinsics.txt"
    if file.is_file():
        K = read_matrix(file, (3, 3))
    elif (size := image_size(images[0])) != KINECT_SIZE:
        raise DataError(f"{file}: no such file, and the pictures are {size_text(size)}, not 640x480 as in 7-Scenes: write the "
                        "camera's 3x3 matrix K to it, in pixels")
    poses = read_poses([path / f"{name}.pose.txt" for name in names])
    load = depth_picture
    if np.allclose(K, KINECT):
        K, load = KINECT_COLOR, _kinect_depth
        poses[:, :3, 3] += COLOR_TO_DEPTH * poses[:, :3, 0]
    return FileRecording(path, names, poses, K, [partial(picture, image) for image in images],
                         depths and [partial(load, depth) for depth in depths])  # yapf: disable


def _kinect_depth(path: Path) -> Float32[np.ndarray, "h w"]:
    """A depth map as the Kinect's colour camera would see it: a pixel has the nearest of the points that fall into it."""
    depth = depth_picture(path)
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(z))]).T @ np.linalg.inv(KINECT).T
    u, v, _ = ((rays - [COLOR_TO_DEPTH, 0, 0] / z[:, None]) @ KINECT_COLOR.T).T.astype(np.int64)
    inside = (u >= 0) & (u < depth.shape[1]) & (v >= 0) & (v < depth.shape[0])
    registered = np.full_like(depth, np.inf)
    np.minimum.at(registered, (v[inside], u[inside]), z[inside])
    return np.where(np.isfinite(registered), registered, 0)
