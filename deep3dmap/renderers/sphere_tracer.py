"""Where rays first meet a signed distance field (IDR, Yariv et al. 2020, supplementary B.3).

Sphere tracing marches every ray from both ends of its interval. Rays that don't settle are sampled evenly between the two
marchers, and the first change of sign is refined by the secant method. In training, rays that should not hit, or do not,
answer with the point of smallest sdf among random samples, where the mask loss acts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.intersections import sphere_intersection
from deep3dmap.registry import RENDERERS
from deep3dmap.structures import RayBundle


@dataclass(frozen=True)
class Trace:
    """What tracing found, one entry a ray; nothing in it carries gradient.

    Attributes:
        points: (r, 3) on the surface where the ray hits; else where training should look (see :class:`SphereTracer`).
        hit: (r,) True where the ray meets the surface.
        distance: (r,) of ``points`` along the ray, in the rays' units.
        evaluations: how many points the sdf was evaluated at.
    """

    points: Float[Tensor, "r 3"]
    hit: Bool[Tensor, "r"]
    distance: Float[Tensor, "r"]
    evaluations: int


class _Field:
    """The sdf along the rays of a bundle, in chunks, counting its evaluations."""

    def __init__(self, sdf: Callable, rays: RayBundle, chunk: int):
        self.sdf, self.rays, self.chunk, self.evaluations = sdf, rays, chunk, 0

    def __call__(self, ray: Tensor, distance: Tensor) -> Tensor:
        """Sdf at distances (m,) or (m, k) along the rays with indices (m,), in the distances' shape."""
        directions, origins = self.rays.directions[ray], self.rays.origins[ray]
        if distance.ndim == 2:
            directions, origins = directions[:, None], origins[:, None]
        points = torch.addcmul(origins, distance[..., None], directions).reshape(-1, 3)
        self.evaluations += len(points)
        if not len(points):
            return distance
        return torch.cat([self.sdf(p) for p in points.split(self.chunk)]).view_as(distance)


@RENDERERS.register_module()
class SphereTracer(nn.Module):
    """Ray casting of signed distance fields that need not be exact.

    Args:
        radius: of the sphere around the origin that bounds the scene.
        sdf_threshold: a marcher this close to the surface has arrived.
        line_search_step: part of a step that is kept when it overshot the surface; halved each time it still does.
        line_search_iterations: at most so many steps back.
        iterations: marching steps.
        samples: along a ray, for rays that don't settle and for points of smallest sdf.
        secant_steps: that refine a change of sign.
        chunk: points evaluated at once.

    Raises:
        ConfigError: if a number is out of range.
    """

    def __init__(self,
                 radius: float = 1.0,
                 sdf_threshold: float = 5e-5,
                 line_search_step: float = 0.5,
                 line_search_iterations: int = 3,
                 iterations: int = 10,
                 samples: int = 100,
                 secant_steps: int = 8,
                 chunk: int = 16384):
        super().__init__()
        if radius <= 0 or samples < 2 or chunk < 1 or min(iterations, line_search_iterations, secant_steps) < 0:
            raise ConfigError(
                f"SphereTracer: radius={radius} and chunk={chunk} must be positive, samples={samples} at least 2, "
                "and the numbers of iterations not negative")
        self.radius, self.sdf_threshold, self.samples, self.chunk = radius, sdf_threshold, samples, chunk
        self.line_search_step, self.line_search_iterations = line_search_step, line_search_iterations
        self.iterations, self.secant_steps = iterations, secant_steps

    @torch.no_grad()
    def trace(self,
              sdf: Callable[[Tensor], Tensor],
              rays: RayBundle,
              object_mask: Bool[Tensor, "rays"] | None = None,
              training: bool = False,
              uniform_steps: Float[Tensor, "samples"] | None = None) -> Trace:
        """Trace rays to the first surface of a signed distance field.

        Args:
            sdf: maps points (p, 3) to signed distances (p,), positive outside.
            rays: to trace. Their ``near`` and ``far``, where given, narrow the search for a hit.
            object_mask: True where the ray's pixel shows the object; None for everywhere.
            training: give rays that miss, or whose pixel does not show the object, the point of smallest sdf among random
                samples; rays that miss the bounding sphere, their point nearest to its centre.
            uniform_steps: the random numbers in [0, 1] for these samples; drawn from torch's generator if None.

        Returns:
            The trace. Without ``training``, the points of rays that miss are not meaningful.
        """
        field = _Field(sdf, rays, self.chunk)
        sphere, meets = sphere_intersection(rays.origins, rays.directions, self.radius)
        interval, marched = self._narrow(rays, sphere, meets)
        mask = torch.ones_like(meets) if object_mask is None else object_mask
        (start, end), unsettled = self._march(field, interval, marched)
        hit, distance = (start < end) & marched, start
        ray = unsettled.nonzero()[:, 0]
        if len(ray):
            hit[ray], distance[ray] = self._sample(field, ray, start[ray], end[ray], mask[ray], training)
        if training:
            search = (~mask | ~hit) & ~unsettled
            # on the object, look where the surface may be; beside it, keep the whole ray clear
            within = torch.where((mask & marched)[:, None], interval, sphere)
            within[:, 0] = torch.where(hit, distance, within[:, 0])
            distance = torch.where(search & ~meets, -(rays.origins * rays.directions).sum(1), distance)
            ray = (search & meets).nonzero()[:, 0]
            distance[ray] = self._smallest(field, ray, within[ray], uniform_steps)
        return Trace(rays.points(distance), hit, distance, field.evaluations)

    def _narrow(self, rays: RayBundle, sphere: Tensor, meets: Tensor) -> tuple[Tensor, Tensor]:
        """Interval in which each ray may hit, and which rays have one."""
        if rays.near is None and rays.far is None:
            return sphere, meets
        near = sphere[:, 0] if rays.near is None else torch.maximum(sphere[:, 0], rays.near)
        far = sphere[:, 1] if rays.far is None else torch.minimum(sphere[:, 1], rays.far)
        return torch.stack([near, far], 1), meets & (near < far)

    def _march(self, field: _Field, interval: Tensor, marched: Tensor) -> tuple[Tensor, Tensor]:
        """Sphere tracing from both ends: distances (2, r) of both marchers, and rays whose near one has not settled."""
        towards = interval.new_tensor([[1.0], [-1.0]])
        distance = interval.T.contiguous()
        active = marched.expand(2, -1)
        value = self._evaluate(field, active, distance, torch.zeros_like(distance))
        for _ in range(self.iterations):
            active = active & (value > self.sdf_threshold)
            if not active.any():
                break
            step = torch.where(active, value, 0.0) * towards
            distance = distance + step
            value = self._evaluate(field, active, distance, torch.zeros_like(distance))
            for k in range(self.line_search_iterations):
                crossed = value < 0
                if not crossed.any():
                    break
                distance = distance - torch.where(crossed, step, 0.0) * ((1 - self.line_search_step) / 2**k)
                value = self._evaluate(field, crossed, distance, value)
            active = active & (distance[0] < distance[1])
        return distance, (active & (value > self.sdf_threshold))[0]

    @staticmethod
    def _evaluate(field: _Field, where: Tensor, distance: Tensor, value: Tensor) -> Tensor:
        """``value`` with the sdf of the marchers (2, r) that ``where`` picks."""
        marcher = where.flatten().nonzero()[:, 0]
        values = field(marcher % where.shape[1], distance.flatten()[marcher])
        return value.flatten().index_copy(0, marcher, values).view_as(value)

    def _sample(self, field: _Field, ray: Tensor, start: Tensor, end: Tensor, mask: Tensor,
                training: bool) -> tuple[Tensor, Tensor]:
        """Even samples between the marchers: which rays change sign, and the distance of the change.

        In training, rays beside the object, and rays without a change, answer with their sample of smallest sdf.
        """
        fraction = torch.linspace(0, 1, self.samples, device=start.device, dtype=start.dtype)
        z = start[:, None] + fraction * (end - start)[:, None]
        need_all = ~mask & training
        value = self._sample_until_inside(field, ray, z, need_all)
        hit = (value < 0).any(1)
        distance = z.gather(1, value.argmin(1, keepdim=True))[:, 0]
        refine = (hit & ~need_all).nonzero()[:, 0]
        if len(refine):
            distance[refine] = self._secant(field, ray[refine], z[refine], value[refine])
        return hit, distance

    def _sample_until_inside(self, field: _Field, ray: Tensor, z: Tensor, need_all: Tensor) -> Tensor:
        """Sdf of samples (m, samples) from near to far; infinity behind the block in which a ray came to the inside."""
        value = torch.full_like(z, torch.inf)
        looking = torch.arange(len(ray), device=ray.device)
        for block in torch.arange(self.samples, device=ray.device).split(-(-self.samples // 5)):
            columns = slice(int(block[0]), int(block[-1]) + 1)
            value[looking, columns] = field(ray[looking], z[looking, columns])
            inside = (value[looking, columns] < 0).any(1)
            looking = looking[need_all[looking] | ~inside]
            if not len(looking):
                break
        return value

    def _secant(self, field: _Field, ray: Tensor, z: Tensor, value: Tensor) -> Tensor:
        """Distance of the first change of sign of sampled rays, by the secant method inside its bracket."""
        first = (value < 0).int().argmax(1, keepdim=True)
        before = (first - 1).clamp(min=0)
        z_out, z_in = z.gather(1, before)[:, 0], z.gather(1, first)[:, 0]
        f_out, f_in = value.gather(1, before)[:, 0], value.gather(1, first)[:, 0]
        root = _line_root(z_out, f_out, z_in, f_in)
        for _ in range(self.secant_steps):
            f = field(ray, root)
            z_out, f_out = torch.where(f > 0, root, z_out), torch.where(f > 0, f, f_out)
            z_in, f_in = torch.where(f < 0, root, z_in), torch.where(f < 0, f, f_in)
            root = _line_root(z_out, f_out, z_in, f_in)
        return root

    def _smallest(self, field: _Field, ray: Tensor, interval: Tensor, uniform_steps: Tensor | None) -> Tensor:
        """Distance of the sample of smallest sdf, at the same random fractions of every ray's interval."""
        if uniform_steps is None:
            uniform_steps = torch.rand(self.samples, device=interval.device, dtype=interval.dtype)
        z = uniform_steps * (interval[:, 1:] - interval[:, :1]) + interval[:, :1]
        return z.gather(1, field(ray, z).argmin(1, keepdim=True))[:, 0]


def _line_root(z0: Tensor, f0: Tensor, z1: Tensor, f1: Tensor) -> Tensor:
    """Where the line through (z0, f0) and (z1, f1) is zero; z0 where the line is level."""
    difference = f1 - f0
    return torch.where(difference == 0, z0, z0 - f0 * (z1 - z0) / difference)
