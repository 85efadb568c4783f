"""Solid modelling with signed distances: primitives, smooth Boolean operations, and noise for colouring.

Distances are positive outside. Those of ellipsoids and of blends are only close to true
distances, but their zero set is exact. Formulas after I. Quilez, "Distance functions" and
"Smooth minimum" (iquilezles.org/articles).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Vector = Sequence[float]
CHUNK = 1 << 13


def _vector(values: Vector, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def mirrored(points: Float[Tensor, "p 3"], softness: float = 0.0) -> Float[Tensor, "p 3"]:
    """Points folded onto the side ``x > 0``; with ``softness`` shapes that cross the plane have no crease."""
    x = (points[:, :1]**2 + softness**2).sqrt() if softness else points[:, :1].abs()
    return torch.cat([x, points[:, 1:]], -1)


def tilted(points: Float[Tensor, "p 3"], center: Vector, degrees: Vector) -> Float[Tensor, "p 3"]:
    """Points in the frame of a shape at ``center``, rotated about x, then y, then z."""
    out = points - _vector(center, points)
    for axis, angle in reversed(list(enumerate(degrees))):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        cos, sin = torch.cos(torch.deg2rad(torch.tensor(float(angle)))), torch.sin(torch.deg2rad(torch.tensor(float(angle))))
        turned = out.clone()
        turned[:, a], turned[:, b] = cos * out[:, a] + sin * out[:, b], cos * out[:, b] - sin * out[:, a]
        out = turned
    return out


def sphere(points: Float[Tensor, "p 3"], center: Vector, radius: float) -> Float[Tensor, "p"]:
    """Signed distance to a sphere."""
    return torch.linalg.norm(points - _vector(center, points), dim=-1) - radius


def ellipsoid(points: Float[Tensor, "p 3"], center: Vector, radii: Vector) -> Float[Tensor, "p"]:
    """Approximate signed distance to an axis-aligned ellipsoid; exact at its surface to first order."""
    local, radii = points - _vector(center, points), _vector(radii, points)
    scaled, gradient = torch.linalg.norm(local / radii, dim=-1), torch.linalg.norm(local / radii**2, dim=-1)
    return scaled * (scaled - 1) / gradient.clamp(min=1e-6)


def capsule(points: Float[Tensor, "p 3"], start: Vector, end: Vector, start_radius: float,
            end_radius: float) -> Float[Tensor, "p"]:
    """Approximate signed distance to a segment with a linearly varying radius."""
    start, end = _vector(start, points), _vector(end, points)
    axis = end - start
    along = (((points - start) @ axis) / (axis @ axis)).clamp(0, 1)
    return torch.linalg.norm(points - start - along[:, None] * axis, dim=-1) - torch.lerp(
        torch.full_like(along, start_radius), torch.full_like(along, end_radius), along)


def torus(points: Float[Tensor, "p 3"], radii: Vector, thickness: float) -> Float[Tensor, "p"]:
    """Approximate signed distance to an elliptic ring in the plane ``x = 0``, around the origin, ``radii`` along y and z."""
    ring = ellipsoid(points * _vector([0, 1, 1], points), [0, 0, 0], [1, *radii])
    return torch.hypot(ring, points[:, 0]) - thickness


def union(*distances: Float[Tensor, "p"], blend: float = 0.0) -> Float[Tensor, "p"]:
    """The union of shapes, smooth within ``blend``."""
    total = distances[0]
    for other in distances[1:]:
        overlap = (blend - (total - other).abs()).clamp(min=0)
        total = torch.minimum(total, other) - (overlap**2 / (4 * blend) if blend else 0.0)
    return total


def intersection(*distances: Float[Tensor, "p"], blend: float = 0.0) -> Float[Tensor, "p"]:
    """The intersection of shapes, smooth within ``blend``."""
    return -union(*(-d for d in distances), blend=blend)


def subtraction(distance: Float[Tensor, "p"], cut: Float[Tensor, "p"], blend: float = 0.0) -> Float[Tensor, "p"]:
    """The difference of two shapes, smooth within ``blend``."""
    return intersection(distance, -cut, blend=blend)


def paint(color: Float[Tensor, "p 3"], tint: Vector, amount: Float[Tensor, "p"]) -> Float[Tensor, "p 3"]:
    """Colours blended with another one, by an amount that is clamped to [0, 1]."""
    return torch.lerp(color, _vector(tint, color).expand_as(color), amount.clamp(0, 1)[:, None])


def ramp(values: Tensor, start: float, end: float) -> Tensor:
    """0 at ``start``, 1 at ``end`` (which may be smaller), smooth in between."""
    t = ((values - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def noise(points: Float[Tensor, "p 3"], seed: int = 0) -> Float[Tensor, "p"]:
    """Smooth random values in [0, 1] that change over a length of about 1: the same on every machine."""
    cell = torch.floor(points)
    weight = points - cell
    weight = weight * weight * (3 - 2 * weight)
    cell = cell.long()
    total = torch.zeros_like(points[:, 0])
    for corner in torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3):
        share = torch.where(corner.bool(), weight, 1 - weight).prod(-1)
        total = total + share * _hash(cell + corner, seed).to(points)
    return total


def spots(points: Float[Tensor, "p 3"], seed: int = 0) -> Float[Tensor, "p"]:
    """Random round spots, about one per unit cube: 1 at their centre, 0 outside, radii from 0.1 to 0.3."""
    cell = torch.floor(points).long()
    covered = torch.zeros_like(points[:, 0])
    for offset in torch.cartesian_prod(*[torch.arange(-1, 2, device=points.device)] * 3):
        home = cell + offset
        center = torch.stack([_hash(home, seed + i) for i in range(3)], -1).to(points) + home
        radius = 0.1 + 0.2 * _hash(home, seed + 3).to(points)
        covered = torch.maximum(covered, ramp(torch.linalg.norm(points - center, dim=-1) / radius, 1.1, 0.6))
    return covered


def _hash(cells: Tensor, seed: int) -> Tensor:
    """A pseudo-random number in [0, 1) for every lattice cell."""
    key = (cells[:, 0] * 73856093) ^ (cells[:, 1] * 19349663) ^ (cells[:, 2] * 83492791) ^ (seed * 2654435761)
    for _ in range(2):
        key = ((key ^ (key >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((key ^ (key >> 13)) & 0xFFFFFF).double() / 0x1000000


def moved_onto(sdf: Callable[[Tensor], Tensor], points: Float[Tensor, "p 3"], longest_step: float) -> Float[Tensor, "p 3"]:
    """Points moved along an sdf's gradient onto its zero set (Newton's method).

    Args:
        sdf: of (p, 3) points, differentiable.
        points: near the zero set.
        longest_step: along each axis; iteration stops below a ten-thousandth of it.
    """
    points, moving = points.clone(), torch.arange(len(points))
    for _ in range(8):
        if not len(moving):
            break
        value, gradient = _with_gradient(sdf, points[moving])
        far = value.abs() > 1e-4 * longest_step
        moving, value, gradient = moving[far], value[far], gradient[far]
        move = value[:, None] * gradient / (gradient**2).sum(-1, keepdim=True).clamp(min=1e-12)
        points[moving] -= move.clamp(-longest_step, longest_step)
    return points


def _with_gradient(sdf, points: Float[Tensor, "p 3"]) -> tuple[Float[Tensor, "p"], Float[Tensor, "p 3"]]:
    """Values and gradients of an sdf, in chunks, so that autograd's buffers stay in the cache."""
    values, gradients = [], []
    for part in points.detach().split(CHUNK):
        part = part.requires_grad_()
        values.append(sdf(part))
        gradients.append(torch.autograd.grad(values[-1].sum(), part)[0])
    return torch.cat(values).detach(), torch.cat(gradients)
