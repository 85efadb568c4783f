"""Masks from label maps, such as the networks make with which GAN2Shape's authors parse pictures (their ``parse_mask``)."""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.io.reading import reading

Parsed = Literal["face", "synface", "cat", "car", "church"]
PARSED = get_args(Parsed)
#: First and last label of a face among BiSeNet's 19 (of CelebAMask-HQ); of a rendered one, with its neck; of clothes.
FACE, RENDERED_FACE, CLOTHES = (1, 13), (1, 14), 16
#: Labels of PSPNet: VOC's of cars and cats, ADE20K's of buildings.
LABELS = dict(car=7, cat=8, church=1)


def mask_of_labels(labels: UInt8[np.ndarray, "h w"], category: Parsed) -> Float[np.ndarray, "h w"]:
    """How much each pixel belongs to the object: 1, 0, or for neck, hair and hats of photographs of faces a half.

    Args:
        labels: BiSeNet's for faces, PSPNet's for others.
        category: what the picture shows.
    """

    def between(limits: tuple[int, int]) -> Float[np.ndarray, "h w"]:
        return ((labels >= limits[0]) & (labels <= limits[1])).astype(np.float32)

    if category == "face":
        return (((labels != 0) & (labels != CLOTHES)).astype(np.float32) + between(FACE)) / 2
    return between(RENDERED_FACE) if category == "synface" else between((LABELS[category], LABELS[category]))


def read_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A label map: an 8-bit picture of one channel, whose values, or numbers in a palette, are labels.

    Raises:
        DataError: if it is damaged, or has colours.
    """
    with reading(path, "a label map"), Image.open(path, formats=("PNG", "BMP", "TIFF")) as picture:
        if picture.mode not in ("L", "P"):
            raise DataError(f"{path}: is a picture of mode {picture.mode}; a label map has one 8-bit channel of labels")
        return np.array(picture)
