"""Pose and code of a head from the outlines of its masks, by least squares.

A ray through the outline of a silhouette is tangent to the shape: the smallest signed distance along it is zero. At a ray's
closest point, moving along it changes nothing to first order (the envelope theorem), so the derivatives by pose and
code are those of the distance at that point, held fixed on the ray. With few parameters and one residual per ray, the method
of Levenberg and Marquardt (1963) takes about ten steps where descent on a cross entropy of the masks takes hundreds. Outliers
(hair, a body, a hole in the mask) are downweighted by the kernel of Geman and McClure (1987).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from deep3dmap.frameworks.h3dnet.placement import Placement
from deep3dmap.geometry.distance_grid import sample_grid, signed_distance_grid
from deep3dmap.geometry.outlines import lowest_along_rays, outline_points, within_sphere
from deep3dmap.structures import Cameras

#: Distances (s, k) of shapes with codes (s, l) at points (s, k, 3), differentiable in both, such as a DeepSDF decoder.
Decoder = Callable[[Tensor, Tensor], Tensor]

REACH = 1.0  # heads lie in the unit sphere of their frame
KERNEL = 3.0  # residuals beyond this many softnesses lose their weight
EVIDENCE = 400  # neighbouring rays are correlated: effective number of independent rays
DAMPING, GAVE_UP = 1e-3, 1e6
STIFFNESS = 50.0  # regularisation of rotations, per square radian: weakly constrained ones would follow rounding errors


@dataclass(frozen=True)
class OutlineRays:
    """Rays of the scene through points of the masks' outlines.

    Attributes:
        origins, directions: (r, 3).
        camera: (r,) index of each ray's view.
    """

    origins: Float[Tensor, "r 3"]
    directions: Float[Tensor, "r 3"]
    camera: Int[Tensor, "r"]

    @classmethod
    def draw(cls, cameras: Cameras, masks: Bool[Tensor, "n h w"], count: int, generator: Generator) -> "OutlineRays":
        """About ``count`` rays, the same number for each view."""
        uv, camera = [], []
        for view, mask in enumerate(masks):
            points = outline_points(mask)
            chosen = torch.randperm(len(points), generator=generator)[:max(count // len(masks), 1)].to(points.device)
            uv.append(points[chosen])
            camera.append(torch.full((len(chosen), ), view, device=points.device))
        camera = torch.cat(camera)
        bundle = cameras.rays(camera, torch.cat(uv).to(cameras.K))
        return cls(bundle.origins, bundle.directions, camera)


class GridShape:
    """A fixed shape with distances cached on a grid: exact everywhere, and cheap.

    Args:
        field: negative inside the shape, at points (p, 3) of the head's frame.
        resolution: cells along each edge of the cube around the unit sphere.
    """

    def __init__(self, field: Callable[[Tensor], Tensor], resolution: int = 48, device: torch.device | str = "cpu"):
        ticks = (torch.arange(resolution, device=device) + 0.5) * (2 * REACH / resolution) - REACH
        self.lower, self.upper = torch.full((3, ), -REACH, device=device), torch.full((3, ), REACH, device=device)
        self.cells = torch.cartesian_prod(ticks, ticks, ticks)
        self.grid = signed_distance_grid(field(self.cells).view([resolution] * 3), 2 * REACH / resolution)

    def distances(self, weights: Float[Tensor, "k"]) -> Callable[[Tensor], Tensor]:
        """The shape's distances as a function of points (p, 3)."""
        return lambda points: sample_grid(self.grid, points, self.lower, self.upper)

    def derivatives(self, weights: Float[Tensor, "k"], points: Float[Tensor, "p 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (p,), their gradients by the point (p, 3), and by the weights (p, k): zero."""
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            values = self.distances(weights)(points)
            slopes, = torch.autograd.grad(values.sum(), points)
        return values.detach(), slopes, points.new_zeros(len(points), len(weights))


@dataclass(frozen=True)
class CodedShape:
    """The shapes of a decoder; the weights are their codes' coordinates, standard normal under the prior.

    Attributes:
        decoder: see :data:`Decoder`.
        mean: (l,) code.
        basis: (l, k); ``code = mean + basis @ weights``.
        chunk: points per decoder call.
    """

    decoder: Decoder
    mean: Float[Tensor, "l"]
    basis: Float[Tensor, "l k"]
    chunk: int = 4096

    def code(self, weights: Float[Tensor, "k"]) -> Float[Tensor, "l"]:
        """The code of the weights."""
        return self.mean + self.basis @ weights

    def distances(self, weights: Float[Tensor, "k"]) -> Callable[[Tensor], Tensor]:
        """The distances of a code's shape as a function of points (p, 3), without gradients."""
        code = self.code(weights)
        field = self.decoder.field(code) if hasattr(self.decoder, "field") else \
            lambda points: self.decoder(code[None], points[None])[0]

        @torch.no_grad()
        def evaluate(points: Tensor) -> Tensor:
            return torch.cat([field(part) for part in points.split(self.chunk)])

        return evaluate

    def derivatives(self, weights: Float[Tensor, "k"], points: Float[Tensor, "p 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (p,), their gradients by the point (p, 3), and by the weights (p, k)."""
        with torch.enable_grad():
            points = points.detach()[:, None].requires_grad_()
            codes = self.code(weights).detach().expand(len(points), -1).clone().requires_grad_()
            values = self.decoder(codes, points)
            slopes, by_code = torch.autograd.grad(values.sum(), (points, codes))
        return values.detach()[:, 0], slopes[:, 0], by_code @ self.basis


@dataclass(frozen=True)
class HeadState:
    """The fitted state: the head's pose and code.

    Attributes:
        placement: of the head.
        weights: (k,) coordinates of the code.
        cost: at the last softness, per effective ray; lower is better.
    """

    placement: Placement
    weights: Float[Tensor, "k"]
    cost: float = float("inf")


def moved(placement: Placement, step: Float[Tensor, "7"]) -> Placement:
    """The placement followed by a small similarity of the head's frame: rotation vector, translation, log scale."""
    x, y, z = step[:3].tolist()
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]]).to(step))
    growth = float(step[6].exp())
    return Placement(turn @ placement.rotation, growth * turn @ placement.translation + step[3:6], growth * placement.scale)


@dataclass(frozen=True)
class OutlineFit:
    """Levenberg-Marquardt on the distances of outline rays.

    Attributes:
        shape: a :class:`GridShape` or a :class:`CodedShape`.
        rays: of the masks.
        free_scale: False fixes the scale.
        lowest: height in the head's frame below which rays are ignored.
        samples: along a ray, to find its closest point.
    """

    shape: GridShape | CodedShape
    rays: OutlineRays
    free_scale: bool = True
    lowest: float = -REACH
    samples: int = 24

    def residuals(self, state: HeadState) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r"]]:
        """Closest point of each ray in the head's frame and the distance there; NaN for ignored rays."""
        origins, directions = state.placement.rays(self.rays.origins, self.rays.directions)
        near, far = within_sphere(origins, directions, REACH)
        field = self.shape.distances(state.weights)
        points, values = lowest_along_rays(field, origins, directions, near, far, self.samples)
        return points, torch.where(points[:, 1] > self.lowest, values, torch.nan)

    def cost(self, values: Float[Tensor, "r"], weights: Float[Tensor, "k"], softness: float) -> float:
        """Negative log posterior up to a constant: Geman and McClure's kernel, and the prior on the weights."""
        squares = (values[~values.isnan()] / (KERNEL * softness)).square()
        return float(EVIDENCE * KERNEL**2 * (squares / (1 + squares)).mean() / 2 + weights.square().sum() / 2)

    def run(self, state: HeadState, softnesses: Sequence[float], iterations: int) -> HeadState:
        """The state after ``iterations`` steps at each softness (standard deviation of the distances, head units)."""
        for softness in softnesses:
            state = self._descend(state, softness, iterations)
        return state

    def _descend(self, state: HeadState, softness: float, iterations: int) -> HeadState:
        damping = DAMPING
        points, values = self.residuals(state)
        state = replace(state, cost=self.cost(values, state.weights, softness))
        for _ in range(iterations):
            hessian, slope = self._normal_equations(state, points, values, softness)
            found = None
            while found is None and damping < GAVE_UP:
                damped = hessian + damping * torch.diag(hessian.diagonal() + 1e-6)
                damped[:3, :3] += STIFFNESS * torch.eye(3).to(damped)
                step = -torch.linalg.solve(damped, slope).to(values)
                tried = HeadState(moved(state.placement, step[:7]), state.weights + step[7:])
                tried_points, tried_values = self.residuals(tried)
                tried = replace(tried, cost=self.cost(tried_values, tried.weights, softness))
                found = (tried, tried_points, tried_values) if tried.cost < state.cost else None
                damping = damping / 5 if found else damping * 8
            if found is None:
                break
            gain = state.cost - found[0].cost
            state, points, values = found
            if gain < 1e-3:
                break
        return state

    def _normal_equations(self, state: HeadState, points: Tensor, values: Tensor, softness: float) -> tuple[Tensor, Tensor]:
        """Gauss-Newton's matrix and the gradient by rotation, translation, scale and code; the kernel's weights are fixed."""
        counts = ~values.isnan()
        at = points[counts]
        distance, slopes, by_weights = self.shape.derivatives(state.weights, at)
        growth = (slopes * at).sum(1, keepdim=True) * (1.0 if self.free_scale else 0.0)
        jacobian = torch.cat([torch.linalg.cross(at, slopes), slopes, growth, by_weights], 1).double()
        share = (1 + (distance / (KERNEL * softness)).square())**-2 * EVIDENCE / (max(len(at), 1) * softness**2)
        weighted = jacobian * share[:, None].double()
        hessian, slope = weighted.T @ jacobian, weighted.T @ distance.double()
        hessian[7:, 7:] += torch.eye(len(state.weights)).to(hessian)
        slope[7:] += state.weights.double()
        return hessian, slope
