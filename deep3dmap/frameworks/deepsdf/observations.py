"""Observations of a shape to be reconstructed: distances at some points, and points in free space.

Park et al., CVPR 2019, sections 4.2 and 6.3: samples of the distance, or, from a depth map, points slightly in front of and
behind the surface and points along the observing rays.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.geometry.intersections import sphere_intersection


@dataclass(frozen=True)
class Observations:
    """Samples of a shape in its normalised frame.

    Attributes:
        positive: (n, 4) points and their distances, outside the shape.
        negative: (m, 4) the same inside.
        free: (f, 3) points only known to be outside.
    """

    positive: Tensor
    negative: Tensor
    free: Tensor | None = None

    def check(self, name: str = "the observations") -> "Observations":
        """Validate the samples.

        Raises:
            DataError: naming the problem: shapes, non-finite values, no samples on one side.
        """
        for side, rows, columns in (("positive", self.positive, 4), ("negative", self.negative, 4), ("free", self.free, 3)):
            if rows is None:
                continue
            if rows.ndim != 2 or rows.shape[1] != columns:
                raise DataError(f"{name}: {side} samples must have shape (n, {columns}), got {tuple(rows.shape)}")
            if not rows.isfinite().all():
                raise DataError(f"{name}: {int((~rows.isfinite().all(1)).sum())} of {len(rows)} {side} samples are not finite")
        if not len(self.positive) or not len(self.negative):
            side = "outside" if not len(self.positive) else "inside"
            raise DataError(
                f"{name}: no samples {side} the shape, so its surface is not determined; provide points with normals, "
                "or signed distances on both sides")
        return self

    def to(self, device: torch.device) -> "Observations":
        """The same on a device, in float32."""
        moved = (None if rows is None else rows.to(device, torch.float32)
                 for rows in (self.positive, self.negative, self.free))
        return Observations(*moved)


def from_surface(points: Float[Tensor, "n 3"],
                 normals: Float[Tensor, "n 3"],
                 offset: float = 0.01,
                 free: Float[Tensor, "f 3"] | None = None) -> Observations:
    """Samples from surface points: one in front of and one behind the surface, at ``offset`` along its normal.

    Args:
        points: in the normalised frame.
        normals: unit, outward.
        offset: distance from the surface, normalised units.
        free: points in free space.
    """
    length = torch.full_like(points[:, :1], offset)
    return Observations(torch.cat([points + offset * normals, length], 1), torch.cat([points - offset * normals, -length], 1),
                        free)


def free_space(origins: Float[Tensor, "n 3"],
               points: Float[Tensor, "n 3"],
               per_ray: int,
               margin: float,
               generator: torch.Generator | None = None) -> Float[Tensor, "f 3"]:
    """Random points between the rays' entry into the unit sphere and a margin in front of the surface points that they saw.

    Args:
        origins: of the rays: the camera's position, in the normalised frame.
        points: the surface points that they saw.
        per_ray: points per ray.
        margin: distance kept from the surface.
        generator: of the draw.
    """
    along = points - origins
    length = along.norm(dim=1, keepdim=True).clamp(min=1e-9)
    start = sphere_intersection(origins, along / length)[0][:, :1]
    room = (length - margin - start).clamp(min=0)
    share = torch.rand(len(points), per_ray, generator=generator).to(points)
    at = origins[:, None] + (along / length)[:, None] * (start + share * room)[..., None]
    at = at[room[:, 0] > 0].reshape(-1, 3)
    return at[at.norm(dim=1) < 1]
