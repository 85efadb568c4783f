"""The square around a face that a network gets, and the way back from it.

Source: the programs of Feng et al., "Joint 3D face reconstruction and dense alignment with position map regression network",
ECCV 2018 (PRNet). A crop is the similarity, (3, 3), that takes pixels of a photograph to pixels of the crop; the centres of
pixels are whole numbers in both. Points have x to the right, y down, and z towards the viewer, which grows with the scale.
Boxes are left, top, right, bottom.
"""

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

Outside = Literal["zeros", "border"]
SHRINKING = 1.5  # factor by which a photograph is shrunk before it must be smoothed


@dataclass(frozen=True)
class CropRule:
    """How large a square is cut around a box, and where; ``extent`` is the mean of the box's width and height.

    Attributes:
        growth: the square's side divided by the extent.
        down: by how much of the extent the square's centre lies below the box's.
        whole: whether the side is rounded down to whole pixels.
    """

    growth: float
    down: float = 0.0
    whole: bool = False


#: PRNet's rules: for a box of the landmarks; for one of dlib's detector, which only the comparison with PRNet's program uses.
LANDMARKS, DETECTED = CropRule(1.6, whole=True), CropRule(1.58, 0.14, True)


def points_box(points: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch 4"]:
    """The bounding box of points in an image."""
    return torch.cat([points[..., :2].amin(-2), points[..., :2].amax(-2)], -1)


def square_crop(center: Float[Tensor, "*batch 2"], side: Float[Tensor, "*batch"], size: int) -> Float[Tensor, "*batch 3 3"]:
    """The crop of a square: its corners are the centres of the crop's corner pixels, 0 and ``size - 1``.

    Raises:
        ValueError: if a side isn't positive.
    """
    if not (side > 0).all():
        raise ValueError(f"a square's side must be positive, got {side.tolist()}")
    scale = (size - 1) / side
    shift = scale[..., None] * (side[..., None] / 2 - center)
    diagonal = torch.stack([scale, scale, torch.ones_like(scale)], -1).diag_embed()
    return diagonal + torch.nn.functional.pad(shift[..., None], (2, 0, 0, 1))


def box_crop(box: Float[Tensor, "*batch 4"], size: int, rule: CropRule = LANDMARKS) -> Float[Tensor, "*batch 3 3"]:
    """The crop of the square that a rule puts around a box.

    Raises:
        ValueError: if the square has no pixels.
    """
    center, extent = (box[..., :2] + box[..., 2:]) / 2, (box[..., 2:] - box[..., :2]).mean(-1)
    side = rule.growth * extent
    down = torch.tensor([0.0, rule.down]).to(box) * extent[..., None]
    return square_crop(center + down, side.floor() if rule.whole else side, size)


def turned_crop(crop: Float[Tensor, "*batch 3 3"], size: int, degrees: float) -> Float[Tensor, "*batch 3 3"]:
    """The crop with its content turned about its middle: clockwise, as it is seen."""
    cos, sin, middle = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), (size - 1) / 2
    turn = [[cos, -sin, middle * (1 - cos + sin)], [sin, cos, middle * (1 - sin - cos)], [0.0, 0.0, 1.0]]
    return torch.tensor(turn).to(crop) @ crop


def training_crop(landmarks: Float[Tensor, "n c"], uniform: Float[Tensor, "3"], size: int) -> Float[Tensor, "3 3"]:
    """The random crop of face3d's ``8_generate_posmap_300WLP``, with which PRNet was trained.

    For comparison with face3d: our own trainings crop by the transforms ``RandomFaceBox`` and ``PackFace``.

    Args:
        landmarks: in pixels, which are rounded towards 0.
        uniform: random numbers in [0, 1): of the moves in x and y, by a tenth of the extent at most, and of the factor of the
            side, 0.9 to 1.1.
        size: of the crop.
    """
    box = points_box(landmarks.trunc())
    center, extent = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).mean()
    side = (1.5 * extent).floor() * (0.9 + 0.2 * uniform[2])
    return square_crop(center + 0.1 * extent * (2 * uniform[:2] - 1), side, size)


def to_crop(points: Float[Tensor, "*batch n 3"], crop: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch n 3"]:
    """Points of the photograph in the crop's pixels; z is multiplied by the similarity's scale."""
    xy = points[..., :2] @ crop[..., :2, :2].transpose(-1, -2) + crop[..., None, :2, 2]
    scale = torch.linalg.det(crop[..., :2, :2]).abs().sqrt()
    return torch.cat([xy, points[..., 2:] * scale[..., None, None]], -1)


def from_crop(points: Float[Tensor, "*batch n 3"], crop: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch n 3"]:
    """Points of the crop in the photograph's pixels: the inverse of :func:`to_crop`."""
    return to_crop(points, torch.linalg.inv(crop))


def map_to_crop(maps: Float[Tensor, "*batch 3 h w"], crop: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 h w"]:
    """A position map's points in the crop's pixels."""
    return to_crop(maps.flatten(-2).transpose(-1, -2), crop).transpose(-1, -2).reshape(maps.shape)


def map_from_crop(maps: Float[Tensor, "*batch 3 h w"], crop: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 h w"]:
    """A position map's points in the photograph's pixels: how a network's map is restored."""
    return map_to_crop(maps, torch.linalg.inv(crop))


def z_from_zero(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points moved along z such that the smallest z is 0."""
    return torch.cat([points[:, :2], points[:, 2:] - points[:, 2:].amin(0)], 1)


def crop_image(image: Shaped[Tensor, "c h w"], crop: Float[Tensor, "3 3"], size: int,
               outside: Outside = "zeros") -> Float[Tensor, "c size size"]:  # yapf: disable
    """The crop of a photograph, interpolated bilinearly; outside of it, 0 or its outer pixels."""
    inverse, steps = torch.linalg.inv(crop), torch.arange(size).to(crop)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([x, y], -1) @ inverse[:2, :2].T + inverse[:2, 2]
    last = torch.tensor([image.shape[2] - 1, image.shape[1] - 1])
    low = places.amin((0, 1)).floor().long().clamp(min=0).minimum(last)
    high = places.amax((0, 1)).ceil().long().clamp(min=0).minimum(last)
    seen = image[None, :, low[1]:high[1] + 1, low[0]:high[0] + 1].to(crop)
    grid = (2 * (places - low) + 1) / (high - low + 1) - 1
    return torch.nn.functional.grid_sample(seen, grid[None], padding_mode=outside, align_corners=False)[0]


def crop_photograph(image: UInt8[np.ndarray, "h w 3"], crop: Float[Tensor, "3 3"], size: int,
                    outside: Outside = "zeros") -> Float[Tensor, "3 size size"]:  # yapf: disable
    """The crop of a photograph as :func:`crop_image`, values from 0 to 255; one that shrinks much is smoothed before."""
    shrink = torch.linalg.det(crop[:2, :2]).abs().rsqrt().item()
    if shrink > SHRINKING:
        shape = [max(1, round(side / shrink)) for side in image.shape[1::-1]]
        small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        step = torch.tensor([image.shape[1] / small.shape[1], image.shape[0] / small.shape[0], 1.0]).to(crop)
        back = step.diag()
        back[:2, 2] = step[:2] / 2 - 0.5
        image, crop = small, crop @ back
    return crop_image(torch.from_numpy(image).permute(2, 0, 1), crop, size, outside)


def vertex_colors(image: Shaped[Tensor, "h w c"], vertices: Float[Tensor, "v d"]) -> Shaped[Tensor, "v c"]:
    """The photograph's colours at the pixels nearest to vertices; those outside get the border's."""
    limit = torch.tensor([image.shape[1] - 1, image.shape[0] - 1]).to(vertices)
    column, row = torch.minimum(vertices[:, :2].clamp(min=0), limit).round().long().unbind(-1)
    return image[row, column]
