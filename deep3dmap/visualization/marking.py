"""Marking the landmarks of a head: the page to click them on, and an overlay that shows their consistency.

The page is self-contained, photographs included; it saves the marks' file in the photographs' own
pixels, independent of the display size.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from deep3dmap.errors import DataError
from deep3dmap.io.files import write_atomically
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS
from deep3dmap.visualization.pictures import resize, thumbnail
from deep3dmap.visualization.viewer import asset, html_page

HINTS = dict(
    right_eye=
    "The inner corner of the person's right eye, where the lids meet next to the nose. Seen from the front it is on the left.",
    left_eye=
    "The inner corner of the person's left eye, where the lids meet next to the nose. Seen from the front it is on the right.",
    nose_tip="The tip of the nose: the foremost point.",
    nose_base="The point where the wall between the nostrils meets the upper lip.",
    right_lips="The corner of the mouth on the person's right. Seen from the front it is on the left.",
    left_lips="The corner of the mouth on the person's left. Seen from the front it is on the right.",
)
COLORS = dict(right=(255, 159, 67), left=(76, 201, 240), nose=(122, 229, 130))
TILE, STRIP, COLUMNS = 420, 22, 4


@dataclass(frozen=True)
class PictureToMark:
    """A photograph to mark.

    Attributes:
        name: of the view.
        image: its pixels.
        marks: existing marks, pixels by landmark.
    """

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def write_marking_page(path: str | Path,
                       pictures: Sequence[PictureToMark],
                       title: str,
                       command: str,
                       side: int = 1600) -> Path:
    """Write the page atomically; returns its path.

    Args:
        path: ends in ``.html``.
        pictures: one or more.
        title: headline.
        command: to run with the marks, shown for copying.
        side: maximum longer side of photographs in the page, pixels.

    Raises:
        DataError: if the path does not end in ``.html``, or there is no photograph.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise DataError(f"{path}: a page's name must end in .html.")
    if not pictures:
        raise DataError(f"{path}: a page to mark landmarks needs at least one photograph.")
    data = dict(views=[
        dict(name=p.name, width=p.image.shape[1], height=p.image.shape[0], image=thumbnail(p.image, side)) for p in pictures
    ],
                landmarks=[dict(name=name, hint=HINTS[name]) for name in HEAD_LANDMARKS],
                marks={p.name: dict(p.marks)
                       for p in pictures if p.marks})
    page = html_page("marking.html", asset("marking.js"), "img-src data:", title=escape(title), style=asset("marking.css"),
                     command=escape(command), data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"))  # yapf: disable
    return write_atomically(path, page.encode())


def landmark_overlay(pictures: Sequence[PictureToMark], seen: Float[np.ndarray, "n 6 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """The heads in all photographs side by side: rings are marks, crosses are projections of the triangulated landmarks.

    Args:
        pictures: one or more, with their marks.
        seen: pixels of the landmarks in each photograph, in the order of ``HEAD_LANDMARKS``; NaN without landmark.
    """
    tiles = [_tile(picture, where) for picture, where in zip(pictures, seen)]
    columns = min(COLUMNS, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    sheet = np.full((rows * (TILE + STRIP), columns * TILE, 3), 18, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (TILE + STRIP), i % columns * TILE
        sheet[y:y + TILE + STRIP, x:x + TILE] = tile
    return sheet


def _tile(picture: PictureToMark, seen: Float[np.ndarray, "6 2"]) -> UInt8[np.ndarray, "h w 3"]:
    corner, span = _window(picture, seen)
    scale = TILE / span
    tile = Image.new("RGB", (TILE, TILE + STRIP), (18, 22, 28))
    tile.paste(Image.fromarray(resize(_crop(picture.image, corner, span), (TILE, TILE))), (0, STRIP))
    draw = ImageDraw.Draw(tile)
    errors = []
    for name, where in zip(HEAD_LANDMARKS, seen):
        color = COLORS[name.split("_")[0]]
        cross = (where - corner) * scale + [0, STRIP]
        if np.isfinite(cross).all():
            draw.line([*(cross - [5, 5]), *(cross + [5, 5])], (255, 255, 255), 2)
            draw.line([*(cross - [5, -5]), *(cross + [5, -5])], (255, 255, 255), 2)
        if name in picture.marks:
            ring = (np.array(picture.marks[name]) - corner) * scale + [0, STRIP]
            draw.ellipse([*(ring - 9), *(ring + 9)], outline=color, width=2)
            errors.append(float(np.linalg.norm(where - np.array(picture.marks[name]))))
    known = [e for e in errors if math.isfinite(e)]
    draw.rectangle([0, 0, TILE, STRIP - 1], (18, 22, 28))
    text = f"{picture.name[:40]}   {len(errors)} marks" + (f", largest error {max(known):.1f} px" if known else "")
    draw.text((5, 4), text, (232, 236, 242), ImageFont.load_default(13))
    return np.array(tile)


def _window(picture: PictureToMark, seen: Float[np.ndarray, "6 2"]) -> tuple[np.ndarray, int]:
    """Upper left corner and side of a square around a photograph's landmarks."""
    points = np.array([*seen[np.isfinite(seen).all(-1)], *picture.marks.values()]).reshape(-1, 2)
    points = points.clip(0, [picture.image.shape[1], picture.image.shape[0]])
    if not len(points):
        return np.zeros(2), max(picture.image.shape[:2])
    low, high = points.min(0), points.max(0)
    span = max(8, math.ceil(2 * (high - low).max()))
    return np.floor((low + high - span) / 2), span


def _crop(image: UInt8[np.ndarray, "h w 3"], corner: np.ndarray, span: int) -> UInt8[np.ndarray, "s s 3"]:
    """A square crop of an image, black outside it."""
    x, y = (int(v) for v in corner)
    found = image[max(y, 0):max(y + span, 0), max(x, 0):max(x + span, 0)]
    square = np.zeros((span, span, 3), np.uint8)
    square[max(-y, 0):max(-y, 0) + found.shape[0], max(-x, 0):max(-x, 0) + found.shape[1]] = found
    return square
