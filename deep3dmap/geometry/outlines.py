"""The outline of a silhouette as points, and the closest points of rays to a shape.

Where a pixel of the mask has a neighbour outside, the outline runs along the edge between the two; the image's border is no
outline, since nothing is known beyond it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def outline_points(mask: Bool[Tensor, "h w"]) -> Float[Tensor, "p 2"]:
    """Midpoints (x, y) of the pixel edges along which a mask ends, pixels (first pixel's centre at 0.5).

    They lie within half a pixel of the true outline, on either side of it equally.
    """
    across = (mask[:, 1:] != mask[:, :-1]).nonzero().flip(1) + torch.tensor([1.0, 0.5], device=mask.device)
    down = (mask[1:] != mask[:-1]).nonzero().flip(1) + torch.tensor([0.5, 1.0], device=mask.device)
    return torch.cat([across, down])


def within_sphere(origins: Float[Tensor, "rays 3"],
                  directions: Float[Tensor, "rays 3"],
                  radius: float = 1.0) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Distances at which rays enter and leave a sphere around the origin; both the closest point if they miss it.

    Unlike :func:`deep3dmap.geometry.intersections.sphere_intersection` it is defined for rays that miss.
    """
    middle = -(origins * directions).sum(-1)
    off_axis = (origins**2).sum(-1) - middle**2
    half_chord = (radius**2 - off_axis).clamp(min=0).sqrt()
    return (middle - half_chord).clamp(min=0), (middle + half_chord).clamp(min=0)


@torch.no_grad()
def lowest_along_rays(field: Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]],
                      origins: Float[Tensor, "rays 3"],
                      directions: Float[Tensor, "rays 3"],
                      near: Float[Tensor, "rays"],
                      far: Float[Tensor, "rays"],
                      samples: int = 24,
                      rounds: int = 2) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays"]]:
    """The minimum of a field along each ray: its position and value.

    For a signed distance: the deepest point of a ray that meets the shape, the nearest point of one that passes it.

    Args:
        field: values at points.
        origins, directions: of the rays, unit directions.
        near, far: range of distances to search.
        samples: evenly spaced along a ray.
        rounds: of five samples each around the least so far, each round twice as fine.
    """
    step = (far - near) / samples
    distances = near[:, None] + step[:, None] * (torch.arange(samples).to(near) + 0.5)
    least, value = _least(field, origins, directions, distances)
    for _ in range(rounds):
        nearby = least[:, None] + step[:, None] * torch.tensor([-0.75, -0.375, 0.0, 0.375, 0.75]).to(near)
        least, value = _least(field, origins, directions, nearby)
        step = step * 0.4
    return origins + least[:, None] * directions, value


def _least(field: Callable, origins: Tensor, directions: Tensor, distances: Float[Tensor, "rays s"]) -> tuple[Tensor, Tensor]:
    """The given distance along each ray at which the field is smallest, and its value."""
    points = origins[:, None] + distances[..., None] * directions[:, None]
    values, index = field(points.reshape(-1, 3)).view(distances.shape).min(1)
    return distances.gather(1, index[:, None])[:, 0], values
