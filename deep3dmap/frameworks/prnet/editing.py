"""Another texture for a face in its photograph, blended in: what the authors' ``demo_texture.py`` does.

Pérez, Gangnet, Blake, "Poisson image editing", SIGGRAPH 2003: the new part keeps its gradients, and takes its edge's colours
from the photograph.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from deep3dmap.frameworks.prnet.face import FoundFace
from deep3dmap.structures.uv_layout import UVLayout

Part = Literal["brows", "eyes", "nose", "mouth"]

#: The 68 landmarks around each part: first and end.
LANDMARKS: dict[Part, tuple[tuple[int, int], ...]] = dict(brows=((17, 22), (22, 27)), eyes=((36, 42), (42, 48)), nose=((27, 36), ),
                                                          mouth=((48, 60), ))  # yapf: disable
MARGIN = 1 / 24  # around a part's landmarks, in sides of the texture
BORDER = 2  # pixels by which OpenCV's blending needs a picture larger than the part


def part_mask(layout: UVLayout, parts: Sequence[Part], size: int) -> Bool[np.ndarray, "t t"]:
    """Where parts of the face are in a texture: the convex hulls of their landmarks, and a margin.

    Args:
        layout: of the texture.
        parts: none for the whole face.
        size: texels along an edge.
    """
    mask = np.full((size, size), not parts, np.uint8)
    for part in parts:
        for first, end in LANDMARKS[part]:
            places = (layout.landmarks[first:end] + 0.5) * size / layout.size - 0.5
            cv2.fillConvexPoly(mask, cv2.convexHull(places.round().astype(np.int32)), 1)
    radius = round(MARGIN * size) if parts else 0
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))) > 0


def retouched(face: FoundFace, texture: UInt8[np.ndarray, "t t 3"], mask: Bool[np.ndarray, "t t"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph with another texture on its face.

    Args:
        face: in its photograph.
        texture: in the layout's UV space.
        mask: where it replaces the face's own.
    """
    left, top, right, bottom = face.window
    picture = cv2.copyMakeBorder(face.image, *[BORDER] * 4, cv2.BORDER_REPLICATE)
    new, where = picture.copy(), np.zeros(picture.shape[:2], np.uint8)
    inside = np.s_[top + BORDER:bottom + BORDER, left + BORDER:right + BORDER]
    shown: Float[np.ndarray, "h w"] = face.drawn(mask.astype(np.float32))
    where[inside] = 255 * (shown > 0.5)
    new[inside] = np.where(where[inside][..., None] > 0, face.drawn(texture), new[inside])
    x, y, width, height = cv2.boundingRect(where)
    if not width:
        return face.image
    blended = cv2.seamlessClone(new, picture, where, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE)
    return np.ascontiguousarray(blended[BORDER:-BORDER, BORDER:-BORDER])
