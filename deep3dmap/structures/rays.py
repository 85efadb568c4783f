"""Rays from cameras into a scene."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class RayBundle:
    """``r`` rays. Lengths are in the units of the rays' frame.

    Attributes:
        origins: (r, 3) starting points.
        directions: (r, 3) unit directions, from the camera into the scene.
        near, far: (r,) search range along the ray, or None.
        uv: (r, 2) pixel coordinates of the rays (x right, y down, first centre at 0.5), or None.
        camera: (r,) indices of their cameras, or None.
    """

    origins: Float[Tensor, "r 3"]
    directions: Float[Tensor, "r 3"]
    near: Float[Tensor, "r"] | None = None
    far: Float[Tensor, "r"] | None = None
    uv: Float[Tensor, "r 2"] | None = None
    camera: Int[Tensor, "r"] | None = None

    def __len__(self) -> int:
        return len(self.origins)

    def points(self, distance: Float[Tensor, "r"]) -> Float[Tensor, "r 3"]:
        """The points at the given distance along each ray."""
        return self.origins + distance[:, None] * self.directions
