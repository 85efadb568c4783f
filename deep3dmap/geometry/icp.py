"""Registration of point clouds without known correspondences: iterative closest point (ICP).

Besl and McKay, "A method for registration of 3-D shapes", PAMI 1992: each transformed source point is paired with its
nearest target point, and the similarity is fitted to the pairs again, until the distances stop decreasing.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.nearest import nearest
from deep3dmap.geometry.transforms import transform_points


class Registration(NamedTuple):
    """The result of registering one point cloud with another.

    Attributes:
        matrix: (4, 4) similarity from source to target, differentiable for fixed pairs.
        rmse: root mean square of the distances between the pairs, differentiable.
        iterations: number of alignments.
        converged: whether the distances stopped decreasing before the last iteration.
    """

    matrix: Float[Tensor, "4 4"]
    rmse: Float[Tensor, ""]
    iterations: int
    converged: bool


def register_points(source: Float[Tensor, "n 3"],
                    target: Float[Tensor, "m 3"],
                    with_scale: bool = False,
                    start: Float[Tensor, "4 4"] | None = None,
                    iterations: int = 100,
                    tolerance: float = 1e-6,
                    allow_reflection: bool = False) -> Registration:
    """The similarity that registers a point cloud with another, near an initial guess.

    Args:
        source, target: clouds of any sizes, at least three points that are not collinear.
        with_scale: False keeps the scale at 1 (a rigid motion).
        start: initial guess; the identity by default.
        iterations: maximum number.
        tolerance: relative decrease of the root mean square distance below which the iterations end.
        allow_reflection: whether the result may be a reflection.

    Raises:
        ValueError: for fewer than three points, points that aren't finite, no iterations, or if the points, or all matched
            target points, are collinear.
    """
    for name, cloud in (("source", source), ("target", target)):
        if len(cloud) < 3 or not torch.isfinite(cloud).all():
            raise ValueError(f"{name}: three finite points or more are needed, of {len(cloud)} points "
                             f"{int(torch.isfinite(cloud).all(-1).sum())} are finite")
    if iterations < 1:
        raise ValueError(f"iterations: one or more are needed, got {iterations}")
    x, y = source.detach().double(), target.detach().double()
    previous, converged = math.inf, False
    matrix = torch.eye(4).to(x) if start is None else start.detach().to(x)
    for count in range(1, iterations + 1):
        matches = nearest(transform_points(matrix, x)[None], y[None]).index[0, :, 0]
        matrix = align_points(x, y[matches], with_scale, allow_reflection=allow_reflection)
        rmse = float(_distance(matrix, x, y[matches]))
        if converged := count > 1 and previous - rmse <= tolerance * previous:
            break
        previous = rmse
    matrix = align_points(source, target[matches], with_scale, allow_reflection=allow_reflection)
    return Registration(matrix, _distance(matrix, source, target[matches]), count, converged)


def _distance(matrix: Float[Tensor, "4 4"], source: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> Float[Tensor, ""]:
    """Root mean square distance between transformed points and their matches; its gradient is finite at 0."""
    return (transform_points(matrix, source) - target).norm() / len(source)**0.5
