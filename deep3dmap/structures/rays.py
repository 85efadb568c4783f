"""Rays from cameras into a scene."""

from dataclasses import dataclass, fields

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

    def _map(self, change) -> "RayBundle":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return RayBundle(**{name: None if v is None else change(v) for name, v in values.items()})

    def __getitem__(self, index) -> "RayBundle":
        """Some of the rays: a slice, a mask or a tensor of indices."""
        return self._map(lambda v: v[index])

    def to(self, device) -> "RayBundle":
        """The same rays on another device."""
        return self._map(lambda v: v.to(device))

    def points(self, distance: Float[Tensor, "r"]) -> Float[Tensor, "r 3"]:
        """The points at the given distance along each ray."""
        return self.origins + distance[:, None] * self.directions
