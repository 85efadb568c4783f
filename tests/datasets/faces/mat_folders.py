"""Small data sets of faces in the layouts of published ones: pictures of noise with random landmarks and poses."""

from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image


def write_face(path: Path, seed: int = 0, size: tuple[int, int] = (60, 80), **arrays) -> dict[str, np.ndarray]:
    """A picture of height and width ``size`` and its ``.mat`` file, of ``arrays`` and a pose; returns all of it."""
    random = np.random.default_rng(seed)
    pose = random.uniform(-1, 1, (1, 7)).astype(np.float32)
    picture = np.repeat(np.repeat(random.integers(0, 256, (size[0] // 10, size[1] // 10, 3), np.uint8), 10, 0), 10, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path.with_suffix(".jpg"), quality=100, subsampling=0)
    scipy.io.savemat(path.with_suffix(".mat"), dict(Pose_Para=pose) | arrays)
    return dict(img=picture, Pose_Para=pose) | arrays


def landmarks(seed: int = 0, coordinates: int = 3) -> np.ndarray:
    """68 random points as ``.mat`` files have them, one a column."""
    return np.random.default_rng(seed).uniform(5, 55, (coordinates, 68)).astype(np.float32)
