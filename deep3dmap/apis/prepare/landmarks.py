"""Landmarks of a head from its photographs: a page to mark them on, and their triangulation to ``landmarks.json``."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deep3dmap.datasets.captures.formats import load_capture, scan_capture
from deep3dmap.datasets.heads.landmark_marks import PlacedLandmarks
from deep3dmap.datasets.heads.landmarks import FILE, place_landmarks, read_landmark_file, write_landmark_file
from deep3dmap.datasets.readers.base import OVERLAY
from deep3dmap.errors import DataError
from deep3dmap.io.paths import resolve_data
from deep3dmap.structures import Capture
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS
from deep3dmap.visualization.marking import PictureToMark, landmark_overlay, write_marking_page
from deep3dmap.visualization.pictures import as_uint8, save_image


def make_marking_page(folder: str | Path,
                      page: str | Path = "marks.html",
                      *,
                      views: Sequence[str] | None = None,
                      format: str | None = None) -> Path:
    """Write a page with a capture's photographs for marking the landmarks by hand, and return its path.

    Existing marks of ``landmarks.json`` in the folder are included.

    Args:
        folder: photographs with cameras, or a data set's name.
        page: page to write. An existing one is replaced.
        views: show only these photographs on the page.
        format: read the folder as this format instead of detecting it.

    Raises:
        DataError: if there is no such capture or view, or the page can't be written.
    """
    folder = resolve_data(folder)
    capture = load_capture(folder, views, format, landmarks=False)
    known = read_landmark_file(folder / FILE).marks if (folder / FILE).is_file() else {}
    command = shlex.join(["deep3dmap", "landmarks", str(folder), "--marks", "marks.json"])
    return write_marking_page(page, _pictures(capture, known), f"Landmarks of {folder.name}", command)


def _pictures(capture: Capture, marks) -> list[PictureToMark]:
    images = zip(capture.names, capture.images)
    return [PictureToMark(name, as_uint8(image.cpu().numpy()), marks.get(name, {})) for name, image in images]


def save_landmarks(folder: str | Path,
                   marks: str | Path,
                   *,
                   format: str | None = None,
                   force: bool = False,
                   log: Callable[[str], object] = print) -> PlacedLandmarks:
    """Triangulate marks with a capture's cameras; writes ``landmarks.json`` and the overlay ``landmarks.png`` beside it.

    Args:
        folder: of the capture, or a data set's name.
        marks: file that the page downloaded.
        format: of the capture; detected by default.
        force: replace an existing ``landmarks.json``.
        log: called with a line for each landmark, and for each omission.

    Raises:
        DataError: if ``landmarks.json`` already exists, the capture can't be read, or the marks are not a head's
            landmarks (see :func:`deep3dmap.datasets.heads.landmark_marks.place_marks`).
    """
    folder = resolve_data(folder)
    target = folder / FILE
    if target.exists() and not force:
        raise DataError(f"{target}: already exists; use --force to replace it, or move it away")
    file = read_landmark_file(marks)
    if not file.marks:
        raise DataError(f"{marks}: holds no marks; mark the landmarks on the page that `deep3dmap landmarks {folder}` writes")
    _, scan = scan_capture(folder, format)
    placed = place_landmarks(file, scan)
    capture = load_capture(folder, placed.views, format, landmarks=False)
    named = {name: _named(uv.tolist()) for name, uv in zip(placed.views, placed.uv)}
    write_landmark_file(target, placed.landmarks, named)
    save_image(folder / OVERLAY, landmark_overlay(_pictures(capture, named), placed.seen.numpy()))
    for line in [*placed.lines(), *(f"warning: {w}" for w in placed.warnings)]:
        log(line)
    return placed


def _named(uv: list[list[float]]) -> dict[str, tuple[float, float]]:
    return {name: (u, v) for name, (u, v) in zip(HEAD_LANDMARKS, uv) if np.isfinite([u, v]).all()}
