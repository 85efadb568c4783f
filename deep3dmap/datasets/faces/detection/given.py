"""Faces whose place is known: the whole picture, or boxes and landmarks from JSON files."""

import json
from collections.abc import Container
from pathlib import Path

import numpy as np

from deep3dmap.datasets.faces.detection.boxes import FaceBox, Image, largest_first
from deep3dmap.datasets.readers.base import numbers, unique_keys
from deep3dmap.errors import DataError
from deep3dmap.io.reading import is_file, reading

CROP = 1.6  # side of PRNet's crop, in sides of the landmarks' box
LANDMARKS = 68
FORM = 'a list of faces, each [left, top, right, bottom], {"box": [...]} or {"landmarks": [[x, y], ... 68 of them]}'


class WholePicture:
    """Takes the whole picture for one face: its landmarks span the middle 1 / 1.6 of the longer side, as in PRNet's crops."""

    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """One face; see :class:`FaceDetector`."""
        height, width = image.shape[:2]
        half = max(height, width) / CROP / 2
        x, y = (width - 1) / 2, (height - 1) / 2
        return [FaceBox(x - half, y - half, x + half, y + half)]


class GivenFaces:
    """Reads boxes, or landmarks, whose bounding box is taken.

    Args:
        path: a JSON file with the faces of pictures by name, ``{"a.jpg": [[left, top, right, bottom], ...], ...}``; without,
            the faces of ``a.jpg`` are in ``a.json`` beside it.

    Raises:
        DataError: if the file can't be read, isn't of that form, or has a box or landmarks that can't be of a face.
    """

    def __init__(self, path: str | Path | None = None):
        self.path, self.faces = path and Path(path), {}
        if self.path:
            document = _read(self.path)
            if not isinstance(document, dict):
                raise DataError(f"{self.path}: expected an object with {FORM} by the picture's name, got a "
                                f"{type(document).__name__}")
            self.faces = {name: _faces(value, f"{self.path}: {name}") for name, value in document.items()}

    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """The faces given for a picture, largest first.

        Raises:
            DataError: if none are given (an empty list is), or the file beside the picture is invalid.
        """
        if picture is None:
            raise DataError("faces that are given belong to pictures in files; this picture has no name")
        if self.path:
            if picture.name not in self.faces:
                raise DataError(f"{picture}: {self.path} has no faces of it; add the key '{picture.name}' with {FORM}")
            return self.faces[picture.name]
        beside = picture.with_suffix(".json")
        if not is_file(beside):
            raise DataError(f"{picture}: no faces are given for it; write {beside} with {FORM}")
        return _faces(_read(beside), f"{beside}")

    def strange(self, pictures: Container[str]) -> list[str]:
        """A note for each key of the file that is the name of none of these pictures."""
        return [f"{self.path}: no picture is called '{name}'" for name in self.faces if name not in pictures]


def _read(path: Path):
    with reading(path, "JSON"):
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique_keys)


def _faces(value, where: str) -> list[FaceBox]:
    if not isinstance(value, list):
        raise DataError(f"{where}: expected {FORM}, got a {type(value).__name__}")
    return largest_first(_face(each, f"{where}: face {k}") for k, each in enumerate(value))


def _face(value, where: str) -> FaceBox:
    keys = set(value) & {"box", "landmarks"} if isinstance(value, dict) else set()
    if len(keys) != isinstance(value, dict):
        raise DataError(f"{where}: expected either 'box' or 'landmarks', got {', '.join(map(repr, value)) or 'nothing'}")
    if keys == {"landmarks"}:
        points = value["landmarks"]
        depth = 3 if isinstance(points, list) and points and isinstance(points[0], list) and len(points[0]) == 3 else 2
        box = FaceBox.around(numbers(points, (LANDMARKS, depth), f"{where}: landmarks"))
    else:
        box = FaceBox(*numbers(value["box"] if keys else value, (4, ), where).tolist())
    if not (np.isfinite(box).all() and box.left < box.right and box.top < box.bottom):
        raise DataError(f"{where}: the box must have finite edges, left < right and top < bottom; it has {list(box[:4])}")
    return box
