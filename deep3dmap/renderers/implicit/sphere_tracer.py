"""Where rays first meet a signed distance field (IDR, Yariv et al. 2020, supplementary B.3).

As published, sphere tracing marches every ray from both ends of its interval. Unconverged rays are sampled evenly
between the two marchers, and the first sign change is refined by the secant method. In training, rays that should not hit,
or do not, return the point of smallest sdf among random samples, where the mask loss acts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deep3dmap.errors import ConfigError
from deep3dmap.geometry.intersections import sphere_intersection
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.implicit.band_tracing import BandTracing
from deep3dmap.renderers.implicit.distance_cache import DistanceCache
from deep3dmap.renderers.implicit.ray_field import Evaluate, PointField, RayField, Trace, line_root
from deep3dmap.structures import RayBundle

SAMPLE_BLOCK = 20
MIN_SNAPSHOT_RAYS = 20_000


@dataclass
class _March:
    """The marchers' state of each ray.

    Attributes:
        start, end: (r,) distances of the near and far marcher.
        unsettled: (r,) True where the near marcher has neither converged nor met the far one.
    """

    start: Tensor
    end: Tensor
    unsettled: Tensor


@RENDERERS.register_module()
class SphereTracer(nn.Module):
    """Ray casting of approximate signed distance fields.

    Args:
        radius: of the sphere around the origin that bounds the scene.
        sdf_threshold: a marcher this close to the surface has converged.
        line_search_step: fraction of a step kept when it overshoots the surface; halved while it still does.
        line_search_iterations: maximum number of such corrections.
        iterations: marching steps.
        samples: along a ray, for unconverged rays and for points of smallest sdf.
        secant_steps: refinement steps of a sign change.
        slope_bound: upper bound on the sdf's slope along a ray; saves most samples in the search for the smallest sdf, with
            the same result if it holds (a trained sdf's slope is near 1: 2 is safe). None evaluates all samples, as in the
            paper.
        chunk: points evaluated at once; None for the device's default (by the caches of a CPU, the memory of others).
        cache: options of :class:`deep3dmap.renderers.DistanceCache`: trace through a grid of the sdf that is refreshed as the
            sdf changes, and evaluate the sdf itself near its surface only. Saves about 90 % of the evaluations, with the same
            hits. ``iterations``, the line search and ``slope_bound`` are then unused. None traces as in the paper.

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
                 slope_bound: float | None = None,
                 chunk: int | None = None,
                 cache: Mapping | None = None):
        super().__init__()
        for name, value in (("radius", radius), ("slope_bound", slope_bound), ("chunk", chunk)):
            if value is not None and value <= 0:
                raise ConfigError(f"SphereTracer: {name}={value} must be positive")
        if samples < (2 if cache is None else 4) or min(iterations, line_search_iterations, secant_steps) < 0:
            raise ConfigError(
                f"SphereTracer: samples={samples} must be at least 2 (with a cache 4), and no number of iterations negative")
        self.radius, self.sdf_threshold, self.samples = radius, sdf_threshold, samples
        self.line_search_step, self.line_search_iterations = line_search_step, line_search_iterations
        self.iterations, self.secant_steps, self.slope_bound, self.chunk = iterations, secant_steps, slope_bound, chunk
        self.cache = None if cache is None else DistanceCache(radius, **cache)

    @torch.no_grad()
    def trace(self,
              sdf: Callable[[Float[Tensor, "p 3"]], Float[Tensor, "p"]],
              rays: RayBundle,
              object_mask: Bool[Tensor, "rays"] | None = None,
              training: bool = False,
              uniform_steps: Float[Tensor, "samples"] | None = None,
              cache: DistanceCache | None = None) -> Trace:
        """Trace rays to the first surface of a signed distance field.

        Distances are float32, even within autocast; with a cached grid, autocast's precision is used for the signs of
        samples that are clearly on one side.

        Args:
            sdf: maps points (p, 3) to signed distances (p,), positive outside.
            rays: to trace. Their ``near`` and ``far``, if given, limit the search for a hit.
            object_mask: True where the ray's pixel shows the object; None for everywhere.
            training: return for rays that miss, or whose pixel does not show the object, the point of smallest sdf among
                random samples; rays that miss the bounding sphere, their point nearest to its centre.
            uniform_steps: the random numbers in [0, 1] for these samples; drawn from torch's generator if None.
            cache: trace through this grid (see :meth:`snapshot`). In training the tracer's own cache is used, if any.

        Returns:
            The trace. Without ``training``, the points of rays that miss are not meaningful.
        """
        field = RayField(sdf, rays, self.chunk)
        sphere, meets = sphere_intersection(rays.origins, rays.directions, self.radius)
        mask = torch.ones_like(meets) if object_mask is None else object_mask
        near = sphere[:, 0] if rays.near is None else torch.maximum(sphere[:, 0], rays.near)
        far = sphere[:, 1] if rays.far is None else torch.minimum(sphere[:, 1], rays.far)
        narrowed = torch.stack([near, far], 1)
        if training:  # outside the object, the whole ray must be free
            narrowed = torch.where(mask[:, None], narrowed, sphere)
        # a sphere behind the camera gives rays of zero length, which the paper's code marches as well
        marched = meets & ((narrowed[:, 0] < narrowed[:, 1]) | (narrowed == sphere).all(1))
        if training and self.cache is not None and not self.cache.filled:
            self.cache.refresh(field.at, field.at.rough if field.at.mixed else None)
        cache = self.cache if training else cache
        if cache is not None:
            hit, distance = self._trace_band(field, cache, narrowed, sphere, marched, mask, training, uniform_steps)
            distance = torch.where(meets, distance, -(rays.origins * rays.directions).sum(1))
            return Trace(rays.points(distance), hit, distance, field.at.evaluations + field.at.rough_evaluations)
        march = self._march(field, narrowed, marched)
        hit, distance = (march.start < march.end) & marched, march.start
        ray = march.unsettled.nonzero()[:, 0]
        if len(ray):
            hit[ray], distance[ray] = self._sample(field, ray, march.start[ray], march.end[ray], mask[ray], training)
        if training:
            search = (~mask | ~hit) & ~march.unsettled
            centre = -(rays.origins * rays.directions).sum(1)
            distance = torch.where(search & ~meets, centre, distance)
            within = torch.where(marched[:, None], narrowed, sphere)
            ray = (search & meets).nonzero()[:, 0]  # behind the hit, where there is one
            interval = torch.stack([torch.where(hit, distance, within[:, 0]), within[:, 1]], 1)[ray]
            distance = distance.index_copy(0, ray, self._smallest_sample(field, ray, interval, uniform_steps))
        return Trace(rays.points(distance), hit, distance, field.at.evaluations)

    @torch.no_grad()
    def update_cache(self, sdf: Evaluate) -> None:
        """Count a training step for the cache, if any, and refresh it when due."""
        if self.cache is not None:
            field = PointField(sdf, self.cache.grid.device, self.chunk)
            self.cache.update(field, field.rough if field.mixed else None)

    @torch.no_grad()
    def snapshot(self, sdf: Evaluate, rays: int) -> DistanceCache | None:
        """A grid of the current sdf, to trace many rays; None without a cache, or for too few rays."""
        if self.cache is None or rays < MIN_SNAPSHOT_RAYS:
            return None
        fresh = DistanceCache(self.radius, self.cache.resolution, margin=self.cache.margin).to(self.cache.grid.device)
        fresh.refresh(PointField(sdf, fresh.grid.device, self.chunk))
        return fresh

    def _trace_band(self, field: RayField, cache: DistanceCache, narrowed: Tensor, sphere: Tensor, marched: Tensor,
                    mask: Tensor, training: bool, uniform_steps: Tensor | None) -> tuple[Tensor, Tensor]:
        """Hits and distances; see :mod:`deep3dmap.renderers.implicit.band_tracing`."""
        tracing = BandTracing(self.samples, self.sdf_threshold, self.secant_steps)
        shift = 0.5
        if training:
            shift = torch.rand(1, device=sphere.device) if uniform_steps is None else uniform_steps[:1]
        interval = torch.where(marched[:, None], narrowed, sphere)
        wanted = marched & mask if training else marched  # outside the object only the smallest sdf is needed
        samples = tracing.sample(field, cache, interval, wanted, shift)
        hit, distance = tracing.first_hits(field, samples, wanted)
        if training:
            distance = torch.where(hit, distance, tracing.smallest(samples))
            return hit | (marched & ~mask & (samples.value < 0).any(1)), distance
        grazing, at = tracing.between_samples(field, samples, wanted & ~hit)
        return hit | grazing, torch.where(grazing, at, distance)

    def _march(self, field: RayField, interval: Tensor, marched: Tensor) -> _March:
        """Sphere tracing of rays from both ends of their intervals (r, 2)."""
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
        unsettled = (active & (value > self.sdf_threshold))[0]
        return _March(distance[0], distance[1], unsettled)

    @staticmethod
    def _evaluate(field: RayField, where: Tensor, distance: Tensor, value: Tensor) -> Tensor:
        """``value`` with the sdf of the marchers (2, r) selected by ``where``."""
        marcher = where.flatten().nonzero()[:, 0]
        values = field(marcher % where.shape[1], distance.flatten()[marcher])
        return value.flatten().index_copy(0, marcher, values).view_as(value)

    def _sample(self, field: RayField, ray: Tensor, start: Tensor, end: Tensor, mask: Tensor,
                training: bool) -> tuple[Tensor, Tensor]:
        """Evenly spaced samples between the marchers: which rays change sign, and at which distance.

        In training, rays outside the object, and rays without a change, return their sample of smallest sdf.
        """
        fraction = torch.linspace(0, 1, self.samples, device=start.device, dtype=start.dtype)
        z = start[:, None] + fraction * (end - start)[:, None]
        outside = ~mask & training
        value = torch.full_like(z, torch.inf)
        value[outside] = self._values_near_minimum(field, ray[outside], z[outside])
        value[~outside] = self._values_until_inside(field, ray[~outside], z[~outside])
        hit = (value < 0).any(1)
        distance = z.gather(1, value.argmin(1, keepdim=True))[:, 0]
        refine = (hit & ~outside).nonzero()[:, 0]
        if len(refine):
            distance[refine] = self._secant(field, ray[refine], z[refine], value[refine])
        return hit, distance

    def _values_until_inside(self, field: RayField, ray: Tensor, z: Tensor) -> Tensor:
        """Sdf of samples (m, samples) from near to far; infinity behind the block in which a ray entered the surface."""
        value = torch.full_like(z, torch.inf)
        looking = torch.arange(len(ray), device=ray.device)
        for first in range(0, self.samples, SAMPLE_BLOCK):
            block = slice(first, first + SAMPLE_BLOCK)
            value[looking, block] = field(ray[looking], z[looking, block])
            looking = looking[~(value[looking, block] < 0).any(1)]
            if not len(looking):
                break
        return value

    def _secant(self, field: RayField, ray: Tensor, z: Tensor, value: Tensor) -> Tensor:
        """Distance of the first change of sign of sampled rays, by the secant method inside its bracket."""
        first = (value < 0).int().argmax(1, keepdim=True)
        before = (first - 1).clamp(min=0)
        z_out, z_in = z.gather(1, before)[:, 0], z.gather(1, first)[:, 0]
        f_out, f_in = value.gather(1, before)[:, 0], value.gather(1, first)[:, 0]
        root = line_root(z_out, f_out, z_in, f_in)
        for _ in range(self.secant_steps):
            f = field(ray, root)
            z_out, f_out = torch.where(f > 0, root, z_out), torch.where(f > 0, f, f_out)
            z_in, f_in = torch.where(f < 0, root, z_in), torch.where(f < 0, f, f_in)
            root = line_root(z_out, f_out, z_in, f_in)
        return root

    def _smallest_sample(self, field: RayField, ray: Tensor, interval: Tensor, uniform_steps: Tensor | None) -> Tensor:
        """Distance of the sample of smallest sdf, at the same random fractions of every ray's interval."""
        if uniform_steps is None:
            uniform_steps = torch.rand(self.samples, device=interval.device, dtype=interval.dtype)
        z = uniform_steps.sort().values * (interval[:, 1:] - interval[:, :1]) + interval[:, :1]
        value = self._values_near_minimum(field, ray, z)
        return z.gather(1, value.argmin(1, keepdim=True))[:, 0]

    def _values_near_minimum(self, field: RayField, ray: Tensor, z: Tensor) -> Tensor:
        """Sdf of ascending samples (m, k); infinity where neighbours show that it can't be the ray's smallest.

        Every eighth sample first, then those between them by bisection: ``sdf(z) >= sdf(y) - slope_bound |z - y|``.
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
