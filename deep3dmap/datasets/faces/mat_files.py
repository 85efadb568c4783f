"""Faces annotated in MATLAB's files, as 3DDFA's data sets have them: reading and checking one file.

Zhu et al., "Face alignment across large poses: a 3D solution", CVPR 2016. ``Pose_Para`` is pitch, yaw and roll (radians),
translation and scale. Its rotation, :func:`~deep3dmap.geometry.face_pose.angles_to_rotation` in the convention ``3ddfa``,
takes the model's axes (x to the subject's left, y up, z out of the face) to the image's with y *up*.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.io.images import read_image
from deep3dmap.io.matlab import read_matlab
from deep3dmap.io.reading import reaching

#: Shape of an array; None stands for any length.
Shape = tuple[int | None, ...]
POSE = dict(Pose_Para=(1, 7))


def annotations(folder: Path, layout: str) -> list[Path]:
    """The ``.mat`` files in a folder, sorted by name.

    Raises:
        DataError: if there are none; says that the data set has the ``layout``.
    """
    with reaching(folder):
        found = sorted(path for path in folder.glob("*.mat") if not path.name.startswith("."))
    if not found:
        raise DataError(f"{folder}: holds no .mat files; {layout}")
    return found


def read_mat(path: Path, **shapes: Shape) -> dict[str, Float[np.ndarray, "..."]]:
    """Numbers of a ``.mat`` file.

    Args:
        path: of the file.
        shapes: of the arrays that it must hold, by name.

    Raises:
        DataError: if the file is missing or damaged, or an array is missing, of another shape or not finite.
    """
    found = read_matlab(path)
    return {key: checked(path, key, found.get(key), shape) for key, shape in shapes.items()}


def checked(path: Path, key: str, value: object, shape: Shape) -> Float[np.ndarray, "..."]:
    """A file's array in double precision.

    Raises:
        DataError: if it is missing, of another shape, or not of finite numbers; names file and key.
    """
    if value is None:
        raise DataError(f"{path}: has no '{key}'; is it a file of this data set?")
    array = np.asarray(value)
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape))
    if not fits:
        wanted = ", ".join("any" if each is None else str(each) for each in shape)
        raise DataError(f"{path}: '{key}' must have the shape ({wanted}), it has {array.shape}")
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise DataError(f"{path}: '{key}' holds values that are not finite numbers; the file may be damaged")
    return np.array(array, np.float64, order="C")


def read_picture(path: Path) -> np.ndarray:
    """The picture beside a ``.mat`` file of this path: (h, w, 3) uint8, RGB.

    Raises:
        DataError: if there is none, or it is damaged.
    """
    return read_image(path.with_suffix(".jpg")).numpy()


def pose_keys(pose: Float[np.ndarray, "p"]) -> dict:
    """``yaw``, ``pitch`` and ``roll`` of an item in degrees, from a ``Pose_Para``."""
    return dict(zip(("pitch", "yaw", "roll"), np.rad2deg(pose[:3]).astype(np.float32)))


def landmark_keys(landmarks: Float[np.ndarray, "c 68"], path: Path) -> dict:
    """``landmarks`` (68, c) and the ``box`` (4,) around them: left, top, right, bottom.

    Raises:
        DataError: if they span no area.
    """
    points = landmarks.T.astype(np.float32)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    if not (high > low).all():
        raise DataError(f"{path}: the landmarks span no area: from {low.tolist()} to {high.tolist()}")
    return dict(landmarks=points, box=np.concatenate([low, high]))
