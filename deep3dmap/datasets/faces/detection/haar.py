"""OpenCV's boosted cascades (Viola and Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001),
for frontal faces and for profiles. OpenCV 5 is without them."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from deep3dmap.datasets.faces.detection.boxes import SHARE, SMALLEST, Boxes, FaceBox, Image, largest_first, placed, strongest
from deep3dmap.errors import MissingDependencyError

INSTALL = 'pip install "opencv-python<5"'
FRONTAL, PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
STEP, NEIGHBOURS = 1.1, 4  # of the pyramid; detections that a face needs
OVERLAP = 0.3
CERTAIN = 100.0  # the last stage's sum at which a score is 1: it has no scale of its own


class Haar:
    """Finds upright faces of 20 pixels and more; misses many that are turned, and rotated ones from about 15 degrees.

    Raises:
        MissingDependencyError: if this OpenCV has no cascades.
    """

    #: The landmarks' box in sides of the detector's: shift of its centre, and its sides; measured on synthetic faces.
    shift, sides = (0.0, 0.14), (0.76, 0.79)

    def __init__(self):
        if not hasattr(cv2, "CascadeClassifier"):
            raise MissingDependencyError(f"the detector 'haar' needs OpenCV's cascades, which OpenCV {cv2.__version__} is "
                                         f"without: {INSTALL}")
        self.frontal, self.profile = (cv2.CascadeClassifier(cv2.data.haarcascades + name) for name in (FRONTAL, PROFILE))

    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """The faces of a picture, largest first; see :class:`FaceDetector`."""
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        found = [_detected(self.frontal, grey), _detected(self.profile, grey), _mirrored(self.profile, grey)]
        boxes, scores = (np.concatenate(each) for each in zip(*found))
        rows = strongest(boxes, scores, OVERLAP)
        return largest_first(placed(boxes[rows], scores[rows], self.shift, self.sides))


def _detected(cascade, grey: UInt8[np.ndarray, "h w"]) -> tuple[Boxes, Float[np.ndarray, " n"]]:
    """Boxes and scores of one cascade."""
    side = round(max(SMALLEST, SHARE * grey.size**0.5))
    found, _, sums = cascade.detectMultiScale3(grey, STEP, NEIGHBOURS, minSize=(side, side), outputRejectLevels=True)
    corners = np.array(found, float).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]],
                          1), np.array(sums, float).clip(0, CERTAIN) / CERTAIN


def _mirrored(cascade, grey: UInt8[np.ndarray, "h w"]) -> tuple[Boxes, Float[np.ndarray, " n"]]:
    """Likewise of a cascade for the other side of the face."""
    boxes, scores = _detected(cascade, np.ascontiguousarray(grey[:, ::-1]))
    left, top, right, bottom = boxes.T
    return np.stack([grey.shape[1] - right, top, grey.shape[1] - left, bottom], 1), scores
