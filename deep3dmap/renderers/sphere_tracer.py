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

CPU_CHUNK, DEVICE_CHUNK = 2048, 200_000
SAMPLE_BLOCK = 20


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


@dataclass
class _March:
    """Where the marchers of each ray stand.

    Attributes:
        start, end: (r,) distances of the near and far marcher.
        unsettled: (r,) True where the near marcher has neither arrived nor met the far one.
        lowest, lowest_at: (r,) the smallest sdf that either met on its way, and its distance; infinite where there is none.
    """

    start: Tensor
    end: Tensor
    unsettled: Tensor
    lowest: Tensor
    lowest_at: Tensor


class _Field:
    """The sdf along the rays of a bundle, in chunks, counting its evaluations."""

    def __init__(self, sdf: Callable, rays: RayBundle, chunk: int | None):
        on_cpu = rays.origins.device.type == "cpu"
        self.chunk = (CPU_CHUNK if on_cpu else DEVICE_CHUNK) if chunk is None else chunk
        self.sdf, self.rays, self.evaluations = sdf, rays, 0

    def __call__(self, ray: Tensor, distance: Tensor) -> Tensor:
        """Sdf at distances (m,) or (m, k) along the rays with indices (m,), in the distances' shape."""
        directions, origins = self.rays.directions[ray], self.rays.origins[ray]
        if distance.ndim == 2:
            directions, origins = directions[:, None], origins[:, None]
        points = torch.addcmul(origins, distance[..., None], directions).reshape(-1, 3)
        self.evaluations += len(points)
        if not len(points):
            return distance
        with torch.autocast(points.device.type, enabled=False):  # half precision can't tell the surface from its surroundings
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
        smallest: where training finds the smallest sdf of a ray that misses: 'samples' at random, as the paper does, or on the
            'march' and at four points around it, which is nearly as small at a fifth of the evaluations. The march overlooks
            most rays that hit beside the mask, so surfaces come out a little too large with it.
        slope_bound: no sdf is steeper than this along a ray; spares most samples on the way to the smallest sdf, at the same
            answer where it holds (a trained sdf's slope is near 1: 2 is safe). None evaluates all samples, as the paper does.
        chunk: points evaluated at once; None for what suits the device (the caches of a CPU, the memory of others).

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
                 smallest: str = "samples",
                 slope_bound: float | None = None,
                 chunk: int | None = None):
        super().__init__()
        for name, value in (("radius", radius), ("slope_bound", slope_bound), ("chunk", chunk)):
            if value is not None and value <= 0:
                raise ConfigError(f"SphereTracer: {name}={value} must be positive")
        if smallest not in ("samples", "march"):
            raise ConfigError(f"SphereTracer: smallest='{smallest}' must be 'samples' or 'march'")
        if samples < 2 or min(iterations, line_search_iterations, secant_steps) < 0:
            raise ConfigError(f"SphereTracer: samples={samples} must be at least 2, and no number of iterations negative")
        self.radius, self.sdf_threshold, self.samples = radius, sdf_threshold, samples
        self.line_search_step, self.line_search_iterations = line_search_step, line_search_iterations
        self.iterations, self.secant_steps, self.slope_bound, self.chunk = iterations, secant_steps, slope_bound, chunk
        self.smallest = smallest

    @torch.no_grad()
    def trace(self,
              sdf: Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]],
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
        mask = torch.ones_like(meets) if object_mask is None else object_mask
        narrowed = self._narrow(rays, sphere)
        if training:  # beside the object, the whole ray is to be kept clear
            narrowed = torch.where(mask[:, None], narrowed, sphere)
        # a sphere behind the camera leaves rays of no length, which the paper's code marches as well
        marched = meets & ((narrowed[:, 0] < narrowed[:, 1]) | (narrowed == sphere).all(1))
        march = self._march(field, narrowed, marched)
        hit, distance = (march.start < march.end) & marched, march.start
        sampled = march.unsettled
        if training and self.smallest == "march":  # whether unsettled rays beside the object hit does not matter then
            hit, sampled = hit & ~(sampled & ~mask), sampled & mask
        ray = sampled.nonzero()[:, 0]
        if len(ray):
            hit[ray], distance[ray] = self._sample(field, ray, march.start[ray], march.end[ray], mask[ray], training)
        if training:
            search = (~mask | ~hit) & ~sampled
            centre = -(rays.origins * rays.directions).sum(1)
            distance = torch.where(search & ~meets, centre, distance)
            within = torch.where(marched[:, None], narrowed, sphere)
            distance = self._look_for_smallest(field, search & meets, hit, distance, within, march, uniform_steps)
        return Trace(rays.points(distance), hit, distance, field.evaluations)

    @staticmethod
    def _narrow(rays: RayBundle, sphere: Tensor) -> Tensor:
        """The intervals (r, 2) inside the bounding sphere that the rays' own near and far leave."""
        near = sphere[:, 0] if rays.near is None else torch.maximum(sphere[:, 0], rays.near)
        far = sphere[:, 1] if rays.far is None else torch.minimum(sphere[:, 1], rays.far)
        return torch.stack([near, far], 1)

    def _march(self, field: _Field, interval: Tensor, marched: Tensor) -> _March:
        """Sphere tracing of rays from both ends of their intervals (r, 2)."""
        towards = interval.new_tensor([[1.0], [-1.0]])
        distance = interval.T.contiguous()
        active = marched.expand(2, -1)
        value = self._evaluate(field, active, distance, torch.zeros_like(distance))
        lowest, lowest_at = torch.full_like(distance, torch.inf), distance
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
            lower = active & (value < lowest)
            lowest, lowest_at = torch.where(lower, value, lowest), torch.where(lower, distance, lowest_at)
            active = active & (distance[0] < distance[1])
        unsettled = (active & (value > self.sdf_threshold))[0]
        lowest, side = lowest.min(0)
        return _March(distance[0], distance[1], unsettled, lowest, lowest_at.gather(0, side[None])[0])

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
        beside = ~mask & training
        value = torch.full_like(z, torch.inf)
        value[beside] = self._values_near_minimum(field, ray[beside], z[beside])
        value[~beside] = self._values_until_inside(field, ray[~beside], z[~beside])
        hit = (value < 0).any(1)
        distance = z.gather(1, value.argmin(1, keepdim=True))[:, 0]
        refine = (hit & ~beside).nonzero()[:, 0]
        if len(refine):
            distance[refine] = self._secant(field, ray[refine], z[refine], value[refine])
        return hit, distance

    def _values_until_inside(self, field: _Field, ray: Tensor, z: Tensor) -> Tensor:
        """Sdf of samples (m, samples) from near to far; infinity behind the block in which a ray came to the inside."""
        value = torch.full_like(z, torch.inf)
        looking = torch.arange(len(ray), device=ray.device)
        for first in range(0, self.samples, SAMPLE_BLOCK):
            block = slice(first, first + SAMPLE_BLOCK)
            value[looking, block] = field(ray[looking], z[looking, block])
            looking = looking[~(value[looking, block] < 0).any(1)]
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

    def _look_for_smallest(self, field: _Field, search: Tensor, hit: Tensor, distance: Tensor, interval: Tensor, march: _March,
                           uniform_steps: Tensor | None) -> Tensor:
        """``distance`` with that of the smallest sdf found on the rays to search; behind the hit, where there is one."""
        if self.smallest == "march":
            met = search & march.lowest.isfinite() & ~hit
            ray, search = met.nonzero()[:, 0], search & ~met
            distance = distance.index_copy(0, ray, self._smallest_nearby(field, ray, march.lowest[ray], march.lowest_at[ray]))
        ray = search.nonzero()[:, 0]
        interval = torch.stack([torch.where(hit, distance, interval[:, 0]), interval[:, 1]], 1)[ray]
        return distance.index_copy(0, ray, self._smallest_sample(field, ray, interval, uniform_steps))

    @staticmethod
    def _smallest_nearby(field: _Field, ray: Tensor, lowest: Tensor, lowest_at: Tensor) -> Tensor:
        """Distance of the smallest sdf on the march and at four points around it, within half of that sdf."""
        around = lowest_at[:, None] + lowest.abs()[:, None] * lowest.new_tensor([-0.5, -0.25, 0.25, 0.5])
        value = torch.cat([lowest[:, None], field(ray, around)], 1)
        around = torch.cat([lowest_at[:, None], around], 1)
        return around.gather(1, value.argmin(1, keepdim=True))[:, 0]

    def _smallest_sample(self, field: _Field, ray: Tensor, interval: Tensor, uniform_steps: Tensor | None) -> Tensor:
        """Distance of the sample of smallest sdf, at the same random fractions of every ray's interval."""
        if uniform_steps is None:
            uniform_steps = torch.rand(self.samples, device=interval.device, dtype=interval.dtype)
        z = uniform_steps.sort().values * (interval[:, 1:] - interval[:, :1]) + interval[:, :1]
        value = self._values_near_minimum(field, ray, z)
        return z.gather(1, value.argmin(1, keepdim=True))[:, 0]

    def _values_near_minimum(self, field: _Field, ray: Tensor, z: Tensor) -> Tensor:
        """Sdf of ascending samples (m, k); infinity where neighbours show that it can't be the ray's smallest.

        Every eighth sample first, then those between them, by halves: ``sdf(z) >= sdf(y) - slope_bound |z - y|``.
        """
        if self.slope_bound is None:
            return field(ray, z)
        stride = 8
        value = torch.full_like(z, torch.inf)
        value[:, ::stride] = field(ray, z[:, ::stride])
        rise = self.slope_bound * z
        while stride > 1:
            known = torch.where(value.isinf(), -torch.inf, value)
            below = (known + rise).cummax(1).values - rise
            above = (known - rise).flip(1).cummax(1).values.flip(1) + rise
            possible = torch.maximum(below, above) < value.amin(1, keepdim=True)
            row, column = possible[:, stride // 2::stride].nonzero(as_tuple=True)
            column = stride // 2 + column * stride
            value[row, column] = field(ray[row], z[row, column])
            stride //= 2
        return value


def _line_root(z0: Tensor, f0: Tensor, z1: Tensor, f1: Tensor) -> Tensor:
    """Where the line through (z0, f0) and (z1, f1) is zero; z0 where the line is level."""
    difference = f1 - f0
    return torch.where(difference == 0, z0, z0 - f0 * (z1 - z0) / difference)
