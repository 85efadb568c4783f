"""Reader of 7-Scenes (Shotton et al., CVPR 2013) and of recordings in its layout, as tsdf-fusion-python (Zeng) has them.

``frame-000000.color.png`` (or ``.jpg``), ``.depth.png`` (millimetres; 0 and 65535 unknown), ``.pose.txt`` (camera to world).
``camera-intrinsics.txt`` is ``K``; without it, it is that of 7-Scenes. Both state nominal principal points, half of the
picture, so they count from its corner as here. The direction up is estimated: the world's axes are those of the first camera.
"""

from functools import partial
from pathlib import Path

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
    return FileRecording(path, names, read_poses([path / f"{name}.pose.txt" for name in names]), K,
                         [partial(picture, image) for image in images],
                         depths and [partial(depth_picture, depth) for depth in depths])  # yapf: disable
