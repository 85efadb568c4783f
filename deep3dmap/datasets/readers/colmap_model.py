"""The data structures common to COLMAP's text and binary sparse models (https://colmap.github.io/format.html)."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from deep3dmap.datasets.readers.base import repeated
from deep3dmap.errors import DataError
from deep3dmap.io.reading import short

# name by id in binary files; parameters of supported models only
MODEL_NAMES = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
               "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE")
PARAMETERS = dict(SIMPLE_PINHOLE=3, PINHOLE=4, SIMPLE_RADIAL=4, RADIAL=5, OPENCV=8)
MAX_SIDE = 1 << 20


@dataclass(frozen=True)
class ModelCamera:
    """A camera: its model's name, (height, width) of its images, and the model's parameters in COLMAP's order."""

    id: int
    model: str
    size: tuple[int, int]
    params: Float[np.ndarray, "p"]


@dataclass(frozen=True)
class ModelImage:
    """A view: rotation (w, x, y, z) and translation from world to camera, its camera's id, its file name."""

    id: int
    quaternion: Float[np.ndarray, "4"]
    translation: Float[np.ndarray, "3"]
    camera_id: int
    name: str


def parameter_count(model: str, where: str) -> int:
    """How many parameters a camera model has.

    Raises:
        DataError: if the model is not supported; names it.
    """
    if model not in PARAMETERS:
        raise DataError(f"{where}: the camera model {short(model)} is not supported; undistort the images with "
                        f"`colmap image_undistorter`. Supported: {', '.join(PARAMETERS)}")
    return PARAMETERS[model]


def checked_size(width: int, height: int, where: str) -> tuple[int, int]:
    """(height, width) of a camera.

    Raises:
        DataError: if they are not plausible.
    """
    if not (0 < width < MAX_SIDE and 0 < height < MAX_SIDE):
        raise DataError(f"{where}: an image size of {width}x{height} is not plausible; the file may be damaged")
    return height, width


def checked_name(name: str, where: str) -> str:
    """The name of an image.

    Raises:
        DataError: if it is empty or not a valid file name.
    """
    if not name or "\0" in name or len(name) > 4096:
        raise DataError(f"{where}: {name[:60]!r} is not a file name; the file may be damaged")
    return name


def check_new(number: int, known: Container[int], where: str) -> None:
    """Refuse a duplicate id.

    Raises:
        DataError: naming it.
    """
    if number in known:
        raise DataError(f"{where}: duplicate id {number}; the file may be damaged")


def images_by_id(images: Iterable[ModelImage], file: Path) -> list[ModelImage]:
    """Images sorted by id.

    Raises:
        DataError: naming an id that several have.
    """
    images = sorted(images, key=lambda image: image.id)
    for number in repeated(image.id for image in images)[:1]:
        raise DataError(f"{file}: several images have the id {number}; the file may be damaged")
    return images
