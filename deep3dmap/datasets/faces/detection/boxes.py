"""Boxes of faces in pictures, and their overlap."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt8

Image = UInt8[np.ndarray, "h w 3"]
Boxes = Float[np.ndarray, "n 4"]

SMALLEST, SHARE = 20, 0.02  # smallest face looked for: pixels, or share of the picture's mean side where that is more


class FaceBox(NamedTuple):
    """The box of a face's 68 landmarks, in pixels whose centres are at integers; it may reach over the picture's edge.

    Attributes:
        left, top, right, bottom: its edges.
        score: certainty in [0, 1]; 1 for boxes that were given.
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @classmethod
    def around(cls, points: Real[np.ndarray, "n d"]) -> "FaceBox":
        """The bounding box of landmarks, of whose coordinates the first two count."""
        return cls(*points[:, :2].min(0).tolist(), *points[:, :2].max(0).tolist())

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


def largest_first(faces: Iterable[FaceBox]) -> list[FaceBox]:
    """Sorted by area, weighted by certainty."""
    return sorted(faces, key=lambda face: -face.area * face.score)


def overlaps(box: Float[np.ndarray, "4"], others: Boxes, of_smaller: bool = False) -> Float[np.ndarray, " n"]:
    """Intersection of a box with others, divided by their union, or by the smaller of the two areas.

    Args:
        box: left, top, right, bottom.
        others: likewise.
        of_smaller: divide by the smaller area, so that a box within another overlaps by 1.
    """
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(min=0).prod(1)
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(1)
    return common / (np.minimum(area, areas) if of_smaller else area + areas - common)


def strongest(boxes: Boxes, scores: Float[np.ndarray, " n"], limit: float, of_smaller: bool = False) -> Int[np.ndarray, " k"]:
    """Rows of the boxes that overlap no box of a higher score by more than the limit (non-maximum suppression), best first."""
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left):
        kept.append(left[0])
        free: Bool[np.ndarray, " m"] = overlaps(boxes[left[0]], boxes[left[1:]], of_smaller) <= limit
        left = left[1:][free]
    return np.array(kept, np.int64)


def squares(boxes: Boxes) -> Boxes:
    """Squares of the same centres, as large as the longer sides, and one pixel at least."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True).clip(min=1) / 2
    return np.concatenate([centres - half, centres + half], 1)


def placed(boxes: Boxes, scores: Float[np.ndarray, " n"], shift: Sequence[float], sides: Sequence[float]) -> list[FaceBox]:
    """A detector's boxes, between pixels (the first pixel spans 0 to 1), as boxes of landmarks.

    Args:
        boxes: left, top, right, bottom.
        scores: certainty in [0, 1].
        shift: of the centre to the right and down, in sides of the box.
        sides: width and height, in sides of the box.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + size * shift - 0.5
    edges = np.concatenate([centres - size * sides / 2, centres + size * sides / 2], 1)
    return [FaceBox(*edge, score) for edge, score in zip(edges.tolist(), scores.tolist())]
