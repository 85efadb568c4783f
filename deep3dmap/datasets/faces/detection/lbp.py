"""A boosted cascade of local binary patterns (Liao et al., "Learning multi-scale block local binary patterns for face
recognition", ICB 2007), which comes with scikit-image: finds frontal faces without a further installation."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from deep3dmap.datasets.faces.detection.boxes import SHARE, FaceBox, Image, largest_first, placed, strongest

WINDOW = 24  # of the cascade, pixels
STEP, NEIGHBOURS = 1.1, 5  # between sizes; detections that a face needs
OVERLAP = 0.3


class LBP:
    """Finds upright frontal faces of 24 pixels and more: the last resort."""

    #: The landmarks' box in sides of the detector's: shift of its centre, and its sides; measured on synthetic faces.
    shift, sides = (0.0, 0.16), (0.86, 0.88)

    def __init__(self):
        self.find = partial(Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale, scale_factor=STEP, step_ratio=1,
                            min_size=(WINDOW, WINDOW), min_neighbor_number=NEIGHBOURS)  # yapf: disable

    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """The faces of a picture, largest first; see :class:`FaceDetector`."""
        scale = min(1.0, WINDOW / (SHARE * np.sqrt(image.shape[0] * image.shape[1])))
        shape = [round(side * scale) for side in image.shape[1::-1]]
        if min(shape) < WINDOW:
            return []
        grey = cv2.cvtColor(cv2.resize(image, shape, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        found = [(each["c"], each["r"], each["c"] + each["width"], each["r"] + each["height"])
                 for each in self.find(img=grey, max_size=(min(shape), min(shape)))]  # yapf: disable
        boxes = np.array(found, float).reshape(-1, 4) * np.tile(np.divide(image.shape[1::-1], shape), 2)
        boxes = boxes[strongest(boxes, boxes[:, 2] - boxes[:, 0], OVERLAP, of_smaller=True)]  # parts of a face are found, too
        return largest_first(placed(boxes, np.ones(len(boxes)), self.shift, self.sides))
