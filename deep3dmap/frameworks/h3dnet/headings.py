"""Initial poses of a head from masks alone: upright, of the masks' size, with one of several headings."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.outline_fit import GridShape
from deep3dmap.frameworks.h3dnet.placement import Placement
from deep3dmap.geometry.lookat import look_at
from deep3dmap.geometry.normalization import nearest_point_to_axes
from deep3dmap.structures import Cameras

HEADINGS = 12
LEVEL = 0.1  # minimum length of the cameras' mean horizontal axis that defines their viewing direction


def upward(cameras: Cameras) -> Float[Tensor, "3"]:
    """The up direction in most images: the mean of the cameras' upward axes; unit."""
    up = -cameras.rotations[:, 1].mean(0)
    if up.norm() < 1e-3:
        raise DataError("the images have no common up direction (some are upside down), so masks can't determine the head's "
                        "pose: provide landmarks")
    return normalize(up, dim=0)


def middle_and_size(cameras: Cameras, masks: Bool[Tensor, "n h w"]) -> tuple[Float[Tensor, "3"], float]:
    """The point nearest to the rays through the masks' centroids, and the mean root of the masks' areas there; scene units."""
    centroids = torch.stack([mask.nonzero().float().mean(0).flip(0) + 0.5 for mask in masks])
    rays = cameras.rays(torch.arange(len(cameras), device=cameras.K.device), centroids.to(cameras.K))
    poses = torch.cat([look_at(o[None], o + d, -r[1]) for o, d, r in zip(rays.origins, rays.directions, cameras.rotations)])
    try:
        middle = nearest_point_to_axes(poses).to(cameras.K)
    except ValueError:
        raise DataError(
            f"the masks of {len(cameras)} view(s) from one direction don't determine the head's position: two or more views "
            "from different positions are needed, or landmarks") from None
    depth = cameras.project(middle[None])[1][:, 0]
    if not (depth > 0).all():
        raise DataError("the rays through the masks' centroids meet behind a camera: masks and cameras don't match")
    focal = (cameras.K[:, 0, 0] * cameras.K[:, 1, 1]).sqrt()
    return middle, float((masks.flatten(1).sum(1).to(depth).sqrt() * depth / focal).mean())


def first_guesses(shape: GridShape, cameras: Cameras, masks: Bool[Tensor, "n h w"], scale: float | None) -> list[Placement]:
    """Placements of the mean head, the first one facing the cameras, the others rotated about the up direction in equal steps.

    Args:
        shape: the mean head.
        cameras, masks: of the scene.
        scale: head units per scene unit, if known.

    Raises:
        DataError: as :func:`upward` and :func:`middle_and_size`.
    """
    up = upward(cameras)
    axes = cameras.axes - (cameras.axes @ up)[:, None] * up
    forward = -axes.mean(0)  # towards the cameras, or the first one if they are all around
    if not forward.norm() > LEVEL:
        forward = -axes[0] + 1e-6 * torch.linalg.cross(up, cameras.rotations[0, 1])
    forward = normalize(forward, dim=0)
    side = torch.linalg.cross(up, forward)
    middle, size = middle_and_size(cameras, masks)
    inside = shape.grid < 0
    cell = float(shape.upper[0] - shape.lower[0]) / len(shape.grid)
    seen = (inside.any(0).sum().sqrt() + inside.any(2).sum().sqrt()) / 2 * cell  # from the side and from the front
    scale = float(seen) / size if scale is None else scale
    head_middle = shape.cells[inside.flatten()].mean(0)
    placements = []
    for turn in torch.arange(HEADINGS) * (2 * math.pi / HEADINGS):
        facing = turn.cos() * forward + turn.sin() * side
        rotation = torch.stack([torch.linalg.cross(up, facing), up, facing])
        placements.append(Placement(rotation, head_middle - scale * rotation @ middle, scale))
    return placements
