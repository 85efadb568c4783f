"""Signed distances on a grid of cells: made from a shape, and read between the cells.

Cells as in ``visual_hull``: ``grid[i, j, k]`` is the value at ``lower + (i + 0.5, j + 0.5, k + 0.5) * spacing``.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, distance_transform_edt
from torch import Tensor


def _from_field(field: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Near the zero level, value over slope; elsewhere the distance to the foot point of the nearest such cell."""
    inside = field < 0
    near = (binary_dilation(inside) & ~inside) | (binary_dilation(~inside) & inside)
    slopes = np.stack([slope[near] for slope in np.gradient(field, *spacing)], -1)
    steepness = np.linalg.norm(slopes, axis=-1).clip(1e-12)
    near_distance = np.clip(field[near] / steepness, -spacing.max(), spacing.max())  # signed, to first order
    feet = np.argwhere(near) * spacing - near_distance[:, None] * slopes / steepness[:, None]
    number = np.full(field.shape, -1)
    number[near] = np.arange(len(feet))
    nearest = distance_transform_edt(~near, sampling=spacing, return_distances=False, return_indices=True)
    foot = feet[number[tuple(nearest)]]
    centers = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(field.shape, spacing)], indexing="ij", sparse=False), -1)
    distance = np.linalg.norm(centers - foot, axis=-1)
    distance[near] = np.abs(near_distance)
    return np.where(inside, -distance, distance)


def signed_distance_grid(shape: Bool[Tensor, "x y z"] | Float[Tensor, "x y z"],
                         spacing: float | Float[Tensor, "3"]) -> Float[Tensor, "x y z"]:
    """Signed Euclidean distances, positive outside, to the surface of a shape on a grid; float32.

    Args:
        shape: occupancy (True inside; the surface then lies between cells, good to about half a cell) or any field that is
            negative inside and roughly linear near its zero level (good to a small part of a cell there, to a seventh of one
            elsewhere in the mean, then mostly too large).
        spacing: cell size, one number or one for each axis; distances come in its unit.

    Raises:
        ValueError: if the grid has no surface, because all cells are inside, or all outside.
    """
    values = shape.detach().cpu().numpy()
    inside = values if values.dtype == bool else values < 0
    if inside.all() or not inside.any():
        raise ValueError(f"the grid has no surface: all {inside.size} cells are {'inside' if inside.all() else 'outside'}")
    steps = np.broadcast_to(np.asarray(torch.as_tensor(spacing).cpu(), dtype=np.float64), 3)
    if values.dtype == bool:  # between inside and outside cell centres, minus half a cell: the surface lies between them
        distance = distance_transform_edt(~inside, sampling=steps) - distance_transform_edt(inside, sampling=steps)
        distance -= 0.5 * steps.mean() * np.sign(distance)
    else:
        distance = _from_field(values.astype(np.float64), steps)
    return torch.from_numpy(distance).float().to(shape.device)


def sample_grid(grid: Float[Tensor, "x y z"], points: Float[Tensor, "p 3"], lower: Float[Tensor, "3"],
                upper: Float[Tensor, "3"]) -> Float[Tensor, "p"]:
    """Values between cell centres (trilinear), differentiable in the points and in the grid.

    A point outside the box gets the value at the nearest point of the box plus the distance to it: continuous, positive far
    away, and never less than the true distance if the grid holds one (so sphere tracing must start at the box). Within half a
    cell of the box's sides values are constant towards the side.

    Args:
        grid: values at cell centres.
        points: in the frame of the box.
        lower, upper: corners of the box that the cells fill.
    """
    lower, upper = lower.to(points), upper.to(points)
    nearest = torch.minimum(torch.maximum(points, lower), upper)
    at = (nearest - lower) / (upper - lower) * 2 - 1
    values = torch.nn.functional.grid_sample(grid[None, None].to(points),
                                             at.flip(-1)[None, None, None],
                                             padding_mode="border",
                                             align_corners=False)[0, 0, 0, 0]
    return values + (points - nearest).norm(dim=-1)
