"""COLMAP's text files: one record per line (two for an image), ``#`` starts a comment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deep3dmap.datasets.readers import colmap_model as model
from deep3dmap.datasets.readers.base import numbers
from deep3dmap.datasets.readers.colmap_model import ModelCamera, ModelImage
from deep3dmap.errors import DataError
from deep3dmap.io.reading import read_text, short

SUFFIX = ".txt"


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).split("\n") if not line.startswith("#")]


def _whole(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise DataError(f"{where}: expected a whole number, got '{short(text)}'") from None


def read_cameras(folder: Path) -> dict[int, ModelCamera]:
    """The cameras of a model by id.

    Raises:
        DataError: if the file is missing, damaged, or holds a model that is not supported.
    """
    file = folder / "cameras.txt"
    cameras = {}
    for row in filter(None, (line.split() for line in _lines(file))):
        where = f"{file}: camera {short(row[0])}"
        if len(row) < 4:
            raise DataError(f"{where}: expected number, model, width, height and parameters; the line is cut short")
        number, width, height = (_whole(row[i], where) for i in (0, 2, 3))
        model.check_new(number, cameras, where)
        params = numbers(row[4:], (model.parameter_count(row[1], where), ), f"{where}: parameters of {short(row[1])}")
        cameras[number] = ModelCamera(number, row[1], model.checked_size(width, height, where), params)
    return cameras


def read_images(folder: Path) -> list[ModelImage]:
    """The views of a model, sorted by id.

    Raises:
        DataError: if the file is missing or damaged.
    """
    file = folder / "images.txt"
    images, points_follow = [], False
    for line in _lines(file):
        if points_follow:
            row = line.split()  # x, y, number of each point; if the line were missing, the next image would be lost
            if len(row) % 3 or row and not row[-1].lstrip("-").isdecimal():
                raise DataError(f"{file}: image {images[-1].id}: the line after it must list its points or be empty, it is "
                                f"'{short(line)}'")
        elif line:
            images.append(_image(line.split(maxsplit=9), file))
        points_follow = bool(line) and not points_follow
    return model.images_by_id(images, file)


def _image(row: list[str], file: Path) -> ModelImage:
    where = f"{file}: image {short(row[0])}"
    if len(row) != 10:
        raise DataError(f"{where}: expected number, quaternion, translation, camera and name (10 fields), got {len(row)}")
    pose = numbers(row[1:8], (7, ), where)
    return ModelImage(_whole(row[0], where), pose[:4], pose[4:], _whole(row[8], where), model.checked_name(row[9], where))


def write_model(folder: Path, cameras: Sequence[ModelCamera], images: Sequence[ModelImage]) -> None:
    """Write the three files of a model without points."""
    lenses = [f"{c.id} {c.model} {c.size[1]} {c.size[0]} {_text(c.params)}\n" for c in cameras]
    views = [f"{i.id} {_text(i.quaternion)} {_text(i.translation)} {i.camera_id} {i.name}\n\n" for i in images]
    for name, records in (("cameras", lenses), ("images", views), ("points3D", [])):
        (folder / f"{name}.txt").write_text("".join(records), encoding="utf-8")


def _text(values: np.ndarray) -> str:
    return " ".join(repr(float(v)) for v in values)
