"""Faces over their photographs: 68 landmarks, dense points, and the box of the pose."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from deep3dmap.visualization.colormaps import lookup_table

#: The lines through the 68 landmarks of iBUG: first and end, and whether the last one meets the first.
LINES = ((0, 17, False), (17, 22, False), (22, 27, False), (27, 31, False), (31, 36, False), (36, 42, True), (42, 48, True),
         (48, 60, True), (60, 68, True))  # yapf: disable
LINE, DOT, BACK, FRONT = (80, 200, 255), (255, 255, 255), (90, 110, 255), (255, 170, 60)
FRACTION = 4  # bits of a pixel's fraction in OpenCV's coordinates

Picture = UInt8[np.ndarray, "h w 3"]


def draw_landmarks(picture: Picture, points: Float[np.ndarray, "68 d"]) -> Picture:
    """A picture with landmarks, and lines through them; points are x, y (and more), pixels' centres at integers."""
    picture, places = picture.copy(), _fixed(points)
    for first, end, closed in LINES:
        cv2.polylines(picture, [places[first:end]], closed, LINE, 1, cv2.LINE_AA, FRACTION)
    for place in places:
        cv2.circle(picture, place.tolist(), 2 << FRACTION, DOT, -1, cv2.LINE_AA, FRACTION)
    return picture


def draw_points(picture: Picture, points: Float[np.ndarray, "n 3"], most: int = 4000) -> Picture:
    """A picture with points coloured by z, brighter where it is larger.

    Args:
        picture: RGB.
        points: x and y in pixels, whose centres are at integers.
        most: number of points; of more, every second or third or so on is drawn.
    """
    picture, points = picture.copy(), points[::-(-len(points) // most) or 1]
    z = points[:, 2] - points[:, 2].min(initial=0)
    colors = lookup_table("difference")[(64 + 191 * z / (z.max(initial=0) or 1)).astype(int)]
    for place, color in zip(_fixed(points), colors.tolist()):
        cv2.circle(picture, place.tolist(), 1 << FRACTION, color, -1, cv2.LINE_AA, FRACTION)
    return picture


def draw_box(picture: Picture, corners: Float[np.ndarray, "8 d"]) -> Picture:
    """A picture with a box: corners of its back, around it, then of its front in the same order."""
    picture, places = picture.copy(), _fixed(corners)
    cv2.polylines(picture, [places[:4]], True, BACK, 2, cv2.LINE_AA, FRACTION)
    for back, front in zip(places[:4], places[4:]):
        cv2.line(picture, back.tolist(), front.tolist(), FRONT, 2, cv2.LINE_AA, FRACTION)
    cv2.polylines(picture, [places[4:]], True, FRONT, 2, cv2.LINE_AA, FRACTION)
    return picture


def _fixed(points: Float[np.ndarray, "n d"]) -> np.ndarray:
    """Pixels as OpenCV's fixed-point coordinates; far outside, a limit that its integers hold."""
    return np.round(points[:, :2].clip(-1e4, 1e4) * 2**FRACTION).astype(np.int32)
