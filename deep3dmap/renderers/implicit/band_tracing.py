"""Tracing through a cached grid of distances: the network is evaluated only where the grid is not reliable.

Every ray is sampled evenly. A sample's sign comes from the grid, except inside the band around the surface, where the network
is evaluated; the first sign change is refined with the network only. With a wide enough band, hits are the same as if the
network had been evaluated everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from deep3dmap.renderers.implicit.distance_cache import DistanceCache
from deep3dmap.renderers.implicit.ray_field import RayField, line_root

#: Samples per ray evaluated at once in the first block from the front; the size doubles with each block.
FIRST_BLOCK = 4


@dataclass(frozen=True)
class Samples:
    """Samples along rays: the start, and evenly spaced ones after it.

    Attributes:
        z: (r, k) ascending distances.
        value: (r, k) distances to the surface: the network's where evaluated, else the grid's.
        evaluated: (r, k) True where the network was evaluated.
    """

    z: Tensor
    value: Tensor
    evaluated: Tensor


@dataclass(frozen=True)
class BandTracing:
    """Options and steps of tracing.

    Attributes:
        samples: along a ray.
        threshold: a root is found where the sdf is this small.
        steps: maximum number of refinement steps per root.
    """

    samples: int
    threshold: float
    steps: int

    def sample(self, field: RayField, cache: DistanceCache, interval: Float[Tensor, "r 2"], needed: Bool[Tensor, "r"],
               shift: float | Tensor) -> Samples:
        """Distances along rays; the network is evaluated on the rays ``needed``, inside the band, until they are certainly
        inside.

        Args:
            field: the network's distances along rays.
            cache: the grid.
            interval: search range of each of the field's rays.
            needed: rays whose hit is needed.
            shift: of the samples, in [0, 1] of their spacing.
        """
        start, length = interval[:, :1], interval[:, 1:] - interval[:, :1]
        steps = torch.arange(self.samples - 1, device=interval.device, dtype=interval.dtype)
        fraction = torch.cat([steps.new_zeros(1), (steps + shift) / (self.samples - 1)])
        z = start + fraction * length
        rays = field.rays
        points = torch.addcmul(rays.origins[:, None], z[..., None], rays.directions[:, None])
        value = cache(points.view(-1, 3)).view_as(z)
        band = cache.band
        before = (value < -band).cumsum(1) == 0
        lowest = value.amin(1, keepdim=True)
        lowest_first = (value <= lowest + 2 * cache.drift) & (lowest <= band)
        evaluated = torch.where(needed[:, None], (value <= band) & before, lowest_first) & (length > 0)
        if field.at.mixed and float(cache.rounding) > 0:
            rounding = float(cache.rounding)
            rough = self._values_until_inside(field.rough, Samples(z, value, evaluated), needed, -rounding)
            value, evaluated = rough.value, self._uncertain(rough, needed, rounding)
            exact = self._values_until_inside(field, Samples(z, value, evaluated), needed, 0.0)
            return Samples(z, exact.value, rough.evaluated)
        return self._values_until_inside(field, Samples(z, value, evaluated), needed, 0.0)

    @staticmethod
    def _uncertain(rough: Samples, needed: Bool[Tensor, "r"], rounding: float) -> Bool[Tensor, "r k"]:
        """Samples that may be the first inside, or on rays without ``needed`` the smallest, given the rounding."""
        before = (rough.value < -rounding).cumsum(1) == 0
        lowest = torch.where(rough.evaluated, rough.value, torch.inf).amin(1, keepdim=True)
        uncertain = torch.where(needed[:, None], (rough.value <= rounding) & before, rough.value <= lowest + 2 * rounding)
        return rough.evaluated & uncertain

    @staticmethod
    def _values_until_inside(evaluate: Callable[[Tensor, Tensor], Tensor], samples: Samples, needed: Bool[Tensor, "r"],
                             inside: float) -> Samples:
        """The values of the selected samples, block by block from the front; rays ``needed`` end at the first one below
        ``inside``.

        Values behind it are irrelevant and unchanged.
        """
        z, value, evaluated = samples.z, samples.value, samples.evaluated
        rank = torch.where(needed[:, None], evaluated.cumsum(1), 0)
        looking, known, first = torch.ones_like(needed), torch.zeros_like(evaluated), 0
        while True:
            last = max(2 * first, FIRST_BLOCK)
            block = evaluated & looking[:, None] & (rank <= last) & ((rank > first) | (first == 0))
            row, column = block.nonzero(as_tuple=True)
            if not len(row):
                return Samples(z, value, known)
            values = evaluate(row, z[row, column])
            value = value.index_put((row, column), values)
            known |= block
            looking = looking.index_fill(0, row[(values < inside) & needed[row]], False) & needed
            first = last

    def first_hits(self, field: RayField, samples: Samples, rays: Bool[Tensor, "r"]) -> tuple[Tensor, Tensor]:
        """Which of the chosen rays have a sample inside (r,), and the distances of entry (else the last sample's)."""
        inside = (samples.value < 0) & rays[:, None]
        hit, first = inside.any(1), inside.int().argmax(1)
        distance = samples.z[:, -1].clone()
        ray = hit.nonzero()[:, 0]
        distance[ray] = self._root(field, samples, ray, first[ray])
        return hit, distance

    def between_samples(self, field: RayField, samples: Samples, rays: Bool[Tensor, "r"]) -> tuple[Tensor, Tensor]:
        """Which of the chosen rays, none of whose samples is inside, meet the surface between them (r,), and the approximate
        distances.

        These graze it: there the gradient of a hit's distance with respect to the surface (IDR, eq. 4) is unbounded.
        """
        ray = (rays & samples.evaluated.any(1)).nonzero()[:, 0]
        some = Samples(samples.z[ray], samples.value[ray], samples.evaluated[ray])
        hit, distance = torch.zeros_like(rays), samples.z[:, -1].clone()
        distance[ray] = self.smallest(some)
        hit[ray] = field(ray, distance[ray]) < 0
        return hit, distance

    @staticmethod
    def smallest(samples: Samples) -> Float[Tensor, "r"]:
        """Distance of each ray's smallest sdf: the lowest point of the parabola through the smallest sample's neighbours."""
        z, value = samples.z, samples.value
        middle = value.argmin(1, keepdim=True).clamp(2, z.shape[1] - 2)  # the spacing after the start differs
        below, at, above = (value.gather(1, middle + k)[:, 0] for k in (-1, 0, 1))
        spacing = z[:, -1] - z[:, -2]
        bend = below - 2 * at + above
        offset = torch.where(bend > 1e-9, 0.5 * (below - above) / bend.clamp(min=1e-9), 0.0).clamp(-1, 1)
        return z.gather(1, middle)[:, 0] + offset * spacing

    def _root(self, field: RayField, samples: Samples, ray: Tensor, first: Tensor) -> Tensor:
        """Distances at which rays enter the surface between the samples ``first - 1`` and ``first``.

        The secant method inside the bracket, with the Illinois rule (a side that stays twice counts half), which avoids slow
        convergence; converged rays are removed, after a last step without evaluation. A ray that starts inside hits the
        surface at its start.
        """
        before = (first - 1).clamp(min=0)
        ends = torch.stack([v[ray, k] for k in (before, first) for v in (samples.z, samples.value)])  # z0, f0, z1, f1
        root, last = ends[2].clone(), torch.zeros_like(ends[2])
        going = (first > 0).nonzero()[:, 0]
        for _ in range(self.steps):
            if not len(going):
                break
            z0, f0, z1, f1 = ends[:, going]
            guess = line_root(z0, f0, z1, f1)
            value = field(ray[going], guess)
            out = value > 0
            halved = torch.where(torch.where(out, 1.0, -1.0) == last[going], 0.5, 1.0)
            ends[:, going] = torch.stack([
                torch.where(out, guess, z0), torch.where(out, value, f0 * halved),
                torch.where(out, z1, guess), torch.where(out, f1 * halved, value)])  # yapf: disable
            last[going] = torch.where(out, 1.0, -1.0)
            z0, f0, z1, f1 = ends[:, going]
            other = torch.where(out, z1, z0), torch.where(out, f1, f0)  # the end that was not just replaced
            root[going] = torch.where(value.abs() > self.threshold, guess, line_root(guess, value, *other))
            going = going[value.abs() > self.threshold]
        return root
