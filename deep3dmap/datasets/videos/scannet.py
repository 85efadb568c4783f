"""Reader of ScanNet (Dai et al., CVPR 2017) as its own tool exports it: ``color/``, ``depth/``, ``pose/``, ``intrinsic/``.

Depth in millimetres and poses camera to world, not finite where tracking was lost; z is up. The calibrations count from the
centre of the first pixel. ``extrinsic_*.txt`` are identities.
"""

from functools import partial
from pathlib import Path

from deep3dmap.datasets.videos.files import (
    HALF_PIXEL,
    Z_UP,
    FileRecording,
    all_there,
    depth_picture,
    picture,
    pictures_in,
    read_matrix,
    read_poses,
)
from deep3dmap.errors import DataError

LOOKED_FOR = "ScanNet, exported: color/, depth/, pose/, intrinsic/intrinsic_color.txt"


def detect(path: Path) -> bool:
    """Whether a folder has ``color/`` and ``pose/`` or ``intrinsic/``."""
    return (path / "color").is_dir() and any((path / name).is_dir() for name in ("pose", "intrinsic"))


def read(path: Path) -> FileRecording:
    """The recording in a folder; see the module.

    Raises:
        DataError: if a file is missing or damaged.
    """
    images = pictures_in(path / "color")
    if not images:
        raise DataError(f"{path / 'color'}: holds no pictures; export them with ScanNet's SensReader")
    names = [image.stem for image in images]
    K, depths, depth_K = _intrinsics(path, "color"), None, None
    if (path / "depth").is_dir():
        depths = [partial(depth_picture, p) for p in all_there((path / "depth" / f"{n}.png" for n in names), "depth map")]
        depth_K = _intrinsics(path, "depth")
    return FileRecording(path, names, read_poses([path / "pose" / f"{name}.txt" for name in names]), K,
                         [partial(picture, image) for image in images], depths, depth_K, Z_UP, 0.0)  # yapf: disable


def _intrinsics(path: Path, kind: str):
    return read_matrix(path / "intrinsic" / f"intrinsic_{kind}.txt", (4, 4))[:3, :3] + HALF_PIXEL
