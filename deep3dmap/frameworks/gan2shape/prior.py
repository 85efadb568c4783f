"""The shape that GAN2Shape begins with: an ellipsoid in the place of the object (Pan et al., ICLR 2021, section 3.1)."""

import math
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.errors import DataError

Category = Literal["face", "synface", "cat", "car", "church"]
CATEGORIES = get_args(Category)
#: Share of the object from which on a pixel belongs to it; radius of the sphere that the ellipsoid is stretched from.
INSIDE, RADIUS = 0.7, 0.4


def mask_range(mask: Bool[Tensor, "h w"]) -> tuple[float, float, float, float]:
    """The outer pixels of a mask: bottom, top, right, left.

    Raises:
        DataError: if it has less than two rows or columns.
    """
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if not len(rows) or rows[0] == rows[-1] or columns[0] == columns[-1]:
        raise DataError(
            f"the object's mask has {int(mask.sum())} pixels that are at least {INSIDE:.0%} inside, in less than two "
            "rows or columns; check the mask, or leave it out")
    return float(rows[-1]), float(rows[0]), float(columns[-1]), float(columns[0])


def ellipsoid(mask: Float[Tensor, "h w"],
              category: Category = "face",
              near: float = 0.91,
              far: float = 1.02) -> Float[Tensor, "h w"]:
    """The depth image of an ellipsoid before a plane, within the range of a mask.

    It is extended to where the category's objects go on: below a face's chin, above a rendered face's forehead, below a car or
    a church. As in the published code, rows are stretched about the picture's middle, although the ellipsoid's is elsewhere.

    Args:
        mask: share of each pixel that belongs to the object; ones where it isn't known.
        category: what the picture shows.
        near: smallest depth.
        far: depth of the plane.

    Raises:
        DataError: see :func:`mask_range`.
    """
    height, width = mask.shape
    bottom, top, right, left = mask_range(mask >= INSIDE)
    if category == "synface":
        top -= (bottom - top) / 6
    elif category == "face":
        bottom, right, left = height - 1, right - (right - left) / 12, left + (right - left) / 12
    elif category in ("car", "church"):
        bottom += (bottom - top) / 6
    radius, ratio = (right - left) / 2, (bottom - top) / (right - left)
    rows, columns = torch.arange(height).to(mask), torch.arange(width).to(mask)
    rows = (rows - height / 2) / ratio + height / 2
    distance = torch.hypot((rows - (bottom + top) / 2)[:, None], columns - (right + left) / 2)
    scaled = distance / radius * math.sqrt(RADIUS**2 - (RADIUS - (far - near))**2)
    depth = RADIUS - (RADIUS**2 - scaled.square()).abs().sqrt() + near
    return torch.where(distance <= radius, depth, far)
