"""Where rays meet simple shapes."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sphere_intersection(origins: Float[Tensor, "rays 3"],
                        directions: Float[Tensor, "rays 3"],
                        radius: float = 1.0) -> tuple[Float[Tensor, "rays 2"], Bool[Tensor, "rays"]]:
    """Near and far distance at which rays cross a sphere around the origin.

    Args:
        origins: ray origins, scene units.
        directions: unit ray directions.
        radius: of the sphere, scene units.

    Returns:
        Distances (near, far) along the ray, negative ones set to 0; and which rays' lines cross the sphere.
        Distances of rays that miss are 0.

    Raises:
        ValueError: if ``radius`` is not positive.
    """
    if radius <= 0:
        raise ValueError(f"a sphere's radius must be positive, got {radius}")
    b = (origins * directions).sum(-1)
    c = (origins**2).sum(-1) - radius**2
    discriminant = b**2 - c
    hit = discriminant > 0
    half_chord = discriminant.clamp(min=0).sqrt()
    distances = torch.stack([-b - half_chord, -b + half_chord], -1).clamp(min=0)
    return torch.where(hit[:, None], distances, 0.0), hit
