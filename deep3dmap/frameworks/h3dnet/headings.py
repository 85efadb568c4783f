"""First guesses at a head's pose from masks alone: upright, as large as the masks, facing one of several ways."""

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
LEVEL = 0.1  # shortest mean of the cameras' axes, across the up direction, that says which way they look


def upward(cameras: Cameras) -> Float[Tensor, "3"]:
    """The direction that is up in most pictures: the mean of the cameras' upward axes; unit.

    Raises:
        DataError: if these cancel each other.
    """
    up = -cameras.rotations[:, 1].mean(0)
    if up.norm() < 1e-3:
        raise DataError("the pictures have no up in common (they stand on their heads by turns), so the masks can't place the "
                        "head: give landmarks")
    return normalize(up, dim=0)


def towards_cameras(cameras: Cameras, up: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The level direction from the scene to its cameras, unit; to the first one where they stand all around."""
    axes = cameras.axes - (cameras.axes @ up)[:, None] * up
    mean = -axes.mean(0)
    return normalize(mean if mean.norm() > LEVEL else -axes[0] + 1e-6 * torch.linalg.cross(up, cameras.rotations[0, 1]), dim=0)


def middle_and_size(cameras: Cameras, masks: Bool[Tensor, "n h w"]) -> tuple[Float[Tensor, "3"], float]:
    """Where the rays through the masks' centroids meet best, and the mean square root of the masks' areas there; scene units.

    Raises:
        DataError: if there is one view only, or all look from one place.
    """
    centroids = torch.stack([mask.nonzero().float().mean(0).flip(0) + 0.5 for mask in masks])
    rays = cameras.rays(torch.arange(len(cameras), device=cameras.K.device), centroids.to(cameras.K))
    poses = torch.cat([look_at(o[None], o + d, -r[1]) for o, d, r in zip(rays.origins, rays.directions, cameras.rotations)])
    try:
        middle = nearest_point_to_axes(poses).to(cameras.K)
    except ValueError:
        raise DataError(
            f"the masks of {len(cameras)} view(s) from one direction don't say where the head is: two or more views "
            "from different places are needed, or landmarks") from None
    depth = cameras.project(middle[None])[1][:, 0]
    if not (depth > 0).all():
        raise DataError("the rays through the masks' middles meet behind a camera: masks and cameras don't match")
    focal = (cameras.K[:, 0, 0] * cameras.K[:, 1, 1]).sqrt()
    return middle, float((masks.flatten(1).sum(1).to(depth).sqrt() * depth / focal).mean())


def first_guesses(shape: GridShape,
                  cameras: Cameras,
                  masks: Bool[Tensor, "n h w"],
                  scale: float | None,
                  count: int = HEADINGS) -> list[Placement]:
    """Placements of the mean head, the first one facing the cameras, the others turned about the up direction in even steps.

    Args:
        shape: the mean head.
        cameras, masks: of the scene.
        scale: head units in a scene unit, if it is known.
        count: of headings.

    Raises:
        DataError: as :func:`upward` and :func:`middle_and_size`.
    """
    up = upward(cameras)
    forward = towards_cameras(cameras, up)
    side = torch.linalg.cross(up, forward)
    middle, size = middle_and_size(cameras, masks)
    inside = shape.grid < 0
    cell = float(shape.upper[0] - shape.lower[0]) / len(shape.grid)
    seen = (inside.any(0).sum().sqrt() + inside.any(2).sum().sqrt()) / 2 * cell  # from the side and from the front
    scale = float(seen) / size if scale is None else scale
    head_middle = shape.cells[inside.flatten()].mean(0)
    placements = []
    for turn in torch.arange(count) * (2 * math.pi / count):
        facing = turn.cos() * forward + turn.sin() * side
        rotation = torch.stack([torch.linalg.cross(up, facing), up, facing])
        placements.append(Placement(rotation, head_middle - scale * rotation @ middle, scale))
    return placements
