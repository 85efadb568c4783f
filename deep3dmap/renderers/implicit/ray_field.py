"""Shared by all tracers: a distance field along rays, and the result of tracing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.structures import RayBundle

#: Maps points (p, 3) to distances (p,).
Evaluate = Callable[[Tensor], Tensor]

CPU_CHUNK, DEVICE_CHUNK = 2048, 200_000


@dataclass(frozen=True)
class Trace:
    """The result of tracing, one entry per ray; without gradients.

    Attributes:
        points: (r, 3) on the surface where the ray hits; else where training should sample (see :class:`SphereTracer`).
        hit: (r,) True where the ray meets the surface.
        distance: (r,) of ``points`` along the ray, in the rays' units.
        evaluations: number of sdf evaluations.
    """

    points: Float[Tensor, "r 3"]
    hit: Bool[Tensor, "r"]
    distance: Float[Tensor, "r"]
    evaluations: int


class PointField:
    """An sdf at points, in chunks and in float32: half precision can't resolve the surface.

    Args:
        sdf: maps points (p, 3) to signed distances (p,).
        device: of the points.
        chunk: points evaluated at once; None for the device's default.

    Attributes:
        mixed: whether it was created within autocast: then :meth:`rough` computes in its precision.
        evaluations: points evaluated so far, in float32.
        rough_evaluations: points evaluated so far in autocast's precision.
    """

    def __init__(self, sdf: Evaluate, device: torch.device, chunk: int | None):
        self.chunk = (CPU_CHUNK if device.type == "cpu" else DEVICE_CHUNK) if chunk is None else chunk
        self.mixed = torch.is_autocast_enabled(device.type)
        self.sdf, self.evaluations, self.rough_evaluations = sdf, 0, 0

    def __call__(self, points: Tensor) -> Tensor:
        """Sdf (p,) of points (p, 3)."""
        self.evaluations += len(points)
        return self._evaluate(points, False)

    def rough(self, points: Tensor) -> Tensor:
        """Approximate sdf (p,) of points (p, 3): in the precision of the enclosing autocast, if any."""
        if not self.mixed:
            return self(points)
        self.rough_evaluations += len(points)
        return self._evaluate(points, True).to(points.dtype)

    def _evaluate(self, points: Tensor, mixed: bool) -> Tensor:
        if not len(points):
            return points.new_zeros(0)
        count = len(points)
        points = padded(points) if mixed else points
        with torch.autocast(points.device.type, torch.get_autocast_dtype(points.device.type), enabled=mixed):
            return torch.cat([self.sdf(p) for p in points.split(self.chunk)])[:count]


class RayField:
    """An sdf along the rays of a bundle; see :class:`PointField`."""

    def __init__(self, sdf: Evaluate, rays: RayBundle, chunk: int | None):
        self.at, self.rays = PointField(sdf, rays.origins.device, chunk), rays

    def __call__(self, ray: Tensor, distance: Tensor) -> Tensor:
        """Sdf at distances (m,) or (m, k) along the rays with indices (m,), in the distances' shape."""
        return self.at(self._points(ray, distance).reshape(-1, 3)).view_as(distance)

    def rough(self, ray: Tensor, distance: Tensor) -> Tensor:
        """The same in the precision of the enclosing autocast, if any."""
        return self.at.rough(self._points(ray, distance).reshape(-1, 3)).view_as(distance)

    def _points(self, ray: Tensor, distance: Tensor) -> Tensor:
        directions, origins = self.rays.directions[ray], self.rays.origins[ray]
        if distance.ndim == 2:
            directions, origins = directions[:, None], origins[:, None]
        return torch.addcmul(origins, distance[..., None], directions)


def padded(rows: Tensor, multiple: int = 64) -> Tensor:
    """``rows`` padded with the last one to a multiple of ``multiple``, on a CPU.

    For each new number of rows, half-precision products cache another kernel there, up to gigabytes in total.
    """
    missing = -len(rows) % multiple if rows.device.type == "cpu" and len(rows) else 0
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows


def line_root(z0: Tensor, f0: Tensor, z1: Tensor, f1: Tensor) -> Tensor:
    """Where the line through (z0, f0) and (z1, f1) is zero; z0 where the line is horizontal."""
    difference = f1 - f0
    return torch.where(difference == 0, z0, z0 - f0 * (z1 - z0) / difference)
