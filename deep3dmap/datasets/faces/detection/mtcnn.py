"""MTCNN's cascade (Zhang et al. 2016, section 2.A): a small network looks at every window of 12 pixels on all levels of a
pyramid, two larger ones reject and correct what it found.

Inside, boxes are (left, top, right, bottom) between pixels: the first pixel spans 0 to 1.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from deep3dmap.datasets.faces.detection.boxes import (
    SHARE,
    SMALLEST,
    Boxes,
    FaceBox,
    Image,
    largest_first,
    placed,
    squares,
    strongest,
)
from deep3dmap.datasets.faces.detection.mtcnn_networks import load_networks, weights_folder

CELL, STRIDE = 12, 2  # of the first network's windows, pixels of its level
STEP = 0.709  # between levels: half the area, as in the authors' code
LIMITS = (0.6, 0.7, 0.7)  # least probability that each network lets pass
GREY = (127, ) * 3
TURNS = (40.0, -40.0)  # degrees by which a picture is rotated, one after the other, if no face is found in it


class MTCNN:
    """Finds faces of 20 pixels and more, upright or rotated by up to about 40 degrees.

    Raises:
        MissingDependencyError: if its weights are not installed.
        DataError: if they are damaged.
    """

    #: The landmarks' box in sides of the detector's: shift of its centre, and its sides; measured on synthetic faces.
    shift, sides = (0.02, 0.12), (0.99, 0.80)

    def __init__(self):
        self.propose, self.refine, self.decide = load_networks(weights_folder())

    @torch.no_grad()
    def __call__(self, image: Image, picture: Path | None = None) -> list[FaceBox]:
        """The faces of a picture, largest first; see :class:`FaceDetector`."""
        found = self._upright(image)
        for degrees in TURNS:
            if not found:
                rotation, size = _rotation(image, degrees)
                turned = cv2.warpAffine(image, rotation, size, borderMode=cv2.BORDER_REPLICATE)
                found = [_turned_back(face, rotation) for face in self._upright(turned)]
        return largest_first(found)

    def _upright(self, image: Image) -> list[FaceBox]:
        """The faces that the cascade finds."""
        boxes = self._candidates(image)
        boxes, scores = _passed(self.refine, image, boxes, 24, LIMITS[1])
        boxes = boxes[strongest(boxes, scores, 0.7)]
        boxes, scores = _passed(self.decide, image, boxes, 48, LIMITS[2])
        rows = strongest(boxes, scores, 0.7, of_smaller=True)
        return placed(boxes[rows], scores[rows], self.shift, self.sides)

    def _candidates(self, image: Image) -> Boxes:
        """Windows that the first network takes for a face, on all levels, corrected by it."""
        height, width = image.shape[:2]
        smallest = min(max(SMALLEST, SHARE * (height * width)**0.5), min(height, width) / 3)
        scale, level, boxes, scores = CELL / smallest, image, [np.zeros((0, 4))], [np.zeros(0)]
        while min(height, width) * scale >= CELL * 2 / 3:
            size = round(width * scale), round(height * scale)
            level = cv2.resize(level, size, interpolation=cv2.INTER_AREA)
            found, score = self._windows(level)
            found = found / np.tile(np.divide(size, (width, height)), 2)
            rows = strongest(found, score, 0.5)
            boxes.append(found[rows])
            scores.append(score[rows])
            scale *= STEP
        boxes = np.concatenate(boxes)
        return boxes[strongest(boxes, np.concatenate(scores), 0.7)]

    def _windows(self, level: Image) -> tuple[Boxes, Float[np.ndarray, " n"]]:
        """Those of one level, in its pixels, and their probabilities; the grey around it lets faces reach over the edge."""
        border = CELL // 2
        level = cv2.copyMakeBorder(level, *[border] * 4, cv2.BORDER_CONSTANT, value=GREY)
        probability, offsets = (each[0] for each in self.propose(_signed(level[None])))
        rows, columns = torch.nonzero(probability >= LIMITS[0], as_tuple=True)
        corner = torch.stack([columns, rows], 1) * STRIDE - border
        windows = torch.cat([corner, corner + CELL], 1).double().numpy()
        return _moved(windows, offsets[:, rows, columns].T), probability[rows, columns].double().numpy()


def _rotation(image: Image, degrees: float) -> tuple[Float[np.ndarray, "2 3"], tuple[int, int]]:
    """The rotation of a picture about its centre onto one that holds it whole, and the latter's width and height."""
    size = np.array(image.shape[1::-1])
    rotation = cv2.getRotationMatrix2D([0, 0], degrees, 1)
    grown = np.ceil(np.abs(rotation[:, :2]) @ size)
    rotation[:, 2] = (grown - 1) / 2 - rotation[:, :2] @ ((size - 1) / 2)
    return rotation, (int(grown[0]), int(grown[1]))


def _turned_back(face: FaceBox, rotation: Float[np.ndarray, "2 3"]) -> FaceBox:
    """The bounding box, in the picture, of the ellipse that fills a box in the rotated one."""
    corners = np.reshape(face[:4], (2, 2))
    centre = rotation[:, :2].T @ (corners.mean(0) - rotation[:, 2])
    half = np.sqrt(rotation[:, :2].T**2 @ ((corners[1] - corners[0]) / 2)**2)
    return FaceBox(*(centre - half).tolist(), *(centre + half).tolist(), face.score)


def _passed(network: Callable[[Tensor], Sequence[Tensor]], image: Image, boxes: Boxes, size: int,
            limit: float) -> tuple[Float[np.ndarray, "k 4"], Float[np.ndarray, " k"]]:
    """The boxes that a network takes for faces, corrected by it, and their probabilities."""
    boxes = squares(boxes)
    if not len(boxes):
        return boxes, np.zeros(0)
    probability, offsets, *_ = network(_signed(np.stack([_cut(image, box, size) for box in boxes])))
    kept = probability >= limit
    return _moved(boxes[kept.numpy()], offsets[kept]), probability[kept].double().numpy()


def _moved(boxes: Boxes, offsets: Float[Tensor, "n 4"]) -> Boxes:
    """Boxes with each edge moved by an offset in units of their sides."""
    return boxes + offsets.double().numpy() * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _cut(image: Image, box: Float[np.ndarray, "4"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """What is in a box, resized to a square; beyond the picture's edge, its last pixels repeated."""
    left, top, right, bottom = np.concatenate([np.floor(box[:2]), np.ceil(box[2:])]).astype(int)
    height, width = image.shape[:2]
    step = max(1, (bottom - top) // (4 * size))  # of a large face 4 x 4 samples a pixel are enough
    rows, columns = np.arange(top, bottom, step).clip(0, height - 1), np.arange(left, right, step).clip(0, width - 1)
    return cv2.resize(image[rows[:, None], columns], (size, size), interpolation=cv2.INTER_AREA)


def _signed(images: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n 3 h w"]:
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127.5) / 128
