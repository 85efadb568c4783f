"""The file ``landmarks.json`` of a capture: where the six landmarks of a head are in the world, and their marks on images.

``{"landmarks": {"right_eye": [x, y, z], ...}, "marks": {"view": {"right_eye": [u, v], ...}, ...}}``: the world's own frame and
units; pixels of the undistorted photographs, the first one's centre at (0.5, 0.5). Either is enough: marks are
triangulated when the capture is read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.datasets.heads.landmark_checks import Landmarks, check_head_landmarks, check_landmark_names
from deep3dmap.datasets.heads.landmark_marks import PlacedLandmarks, Uv, place_marks
from deep3dmap.datasets.readers.base import Scan, is_plausible, numbers, unique_keys
from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.io.reading import is_file, reading

FILE = "landmarks.json"
KEYS = ("landmarks", "marks")


@dataclass(frozen=True)
class LandmarkFile:
    """The content of a landmark file; only names and numbers are validated.

    Attributes:
        path: of the file.
        landmarks: positions in the world, float64, by name; None if it holds none.
        marks: pixels by view and name.
    """

    path: Path
    landmarks: dict[str, Float[Tensor, "3"]] | None
    marks: dict[str, dict[str, Uv]] = field(default_factory=dict)


def read_landmark_file(path: str | Path) -> LandmarkFile:
    """Read a file of landmarks, marks or both.

    Raises:
        DataError: if it is missing, damaged, holds neither, or has an invalid name or position.
    """
    path = Path(path)
    with reading(path, "JSON"):
        document = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=unique_keys)
    document = _mapping(document, f"{path}", "'landmarks' or 'marks'")
    if not any(key in document for key in KEYS):
        raise DataError(f"{path}: holds neither 'landmarks' nor 'marks'; `deep3dmap landmarks FOLDER` makes such a file")
    landmarks, marks = None, {}
    if "landmarks" in document:
        landmarks = {n: torch.tensor(p, dtype=torch.float64) for n, p in _points(document["landmarks"], 3, f"{path}").items()}
    for view, points in _mapping(document.get("marks", {}), f"{path}: marks", "views").items():
        marks[view] = {n: (p[0], p[1]) for n, p in _points(points, 2, f"{path}: view '{view}'").items()}
    return LandmarkFile(path, landmarks, marks)


def _mapping(value, where: str, what: str) -> dict:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object with {what}, got a {type(value).__name__}")
    return value


def _points(value, length: int, where: str) -> dict[str, list[float]]:
    """Named points of two or three numbers; ``null`` for a missing landmark."""
    points = {n: p for n, p in _mapping(value, where, "landmarks by name").items() if p is not None}
    check_landmark_names(list(points), where)
    found = {name: numbers(point, (length, ), f"{where}: {name}") for name, point in points.items()}
    for name, point in found.items():
        if not is_plausible(point):
            raise DataError(f"{where}: {name} is {point.tolist()}: not finite or too large; mark it again or leave it out")
    return {name: point.tolist() for name, point in found.items()}


def write_landmark_file(path: str | Path,
                        landmarks: Landmarks | None = None,
                        marks: Mapping[str, Mapping[str, Uv]] | None = None) -> Path:
    """Write landmarks in the world, marks on images, or both; returns the file's path."""
    document = {}
    if landmarks is not None:
        document["landmarks"] = {name: point.double().tolist() for name, point in landmarks.items()}
    if marks:
        document["marks"] = {view: {n: list(uv) for n, uv in points.items()} for view, points in marks.items()}
    return write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def place_landmarks(file: LandmarkFile, scan: Scan) -> PlacedLandmarks:
    """Triangulate a file's marks with a capture's cameras, and check the result.

    Raises:
        DataError: see :func:`deep3dmap.datasets.heads.landmark_marks.place_marks`.
    """
    return place_marks(file.marks, scan, file.path)


def find_landmarks(scan: Scan) -> dict[str, Float[Tensor, "3"]] | None:
    """The landmarks in a capture's ``landmarks.json``, in the world; None without the file.

    Raises:
        DataError: if the file is damaged, or its landmarks are implausible.
    """
    path = scan.folder / FILE
    if not is_file(path):
        return None
    file = read_landmark_file(path)
    if file.landmarks is None:
        return place_landmarks(file, scan).landmarks
    check_head_landmarks(file.landmarks, path)
    return file.landmarks
