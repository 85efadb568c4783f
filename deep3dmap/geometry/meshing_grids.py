"""Regular grids on which a signed distance field is sampled: along a box, or along a shape's principal axes.

The aligned grid is that of IDR's evaluation (Yariv et al., NeurIPS 2020; its public code's high-resolution mesh).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from deep3dmap.errors import ConfigError

#: Bytes that meshing needs for each point of a lattice: the field's value, and what is known of it.
BYTES_A_POINT = 12


def check_resolution(resolution: int) -> None:
    """Make sure that the lattice of a cube fits into this machine's memory: coarse to fine evaluates few of its points, but
    keeps all of them.

    Raises:
        ConfigError: if it doesn't; names the largest resolution that does.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # not available on Windows
        return
    needed = BYTES_A_POINT * (resolution + 1)**3
    if needed > memory:
        raise ConfigError(f"resolution={resolution}: its grid needs {needed / 1e9:,.0f} GB of memory, and this machine has "
                          f"{memory / 1e9:,.0f} GB; at most {int((memory / BYTES_A_POINT)**(1 / 3)) - 1} is possible here")


@dataclass(frozen=True)
class Grid:
    """A lattice of ``(cells + 1)`` points along three orthogonal axes.

    Attributes:
        origin: (3,) position of point (0, 0, 0).
        axes: (3, 3) unit directions of the lattice's axes, one a row, right-handed.
        spacing: (3,) distance between neighbours along each axis.
        cells: number of cells along each axis.
    """

    origin: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    spacing: Float[np.ndarray, "3"]
    cells: tuple[int, int, int]

    def __post_init__(self):
        if min(self.cells) < 1 or not (self.spacing > 0).all():
            raise ValueError(f"a grid needs at least one cell of positive size along each axis, got {self.cells} cells "
                             f"of size {self.spacing.tolist()}")
        if np.abs(self.axes @ self.axes.T - np.eye(3)).max() > 1e-4 or np.linalg.det(self.axes) < 0:
            raise ValueError(f"a grid's axes must be orthogonal, of unit length and right-handed, got {self.axes.tolist()}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of points along each axis."""
        return tuple(c + 1 for c in self.cells)

    def points(self, index: Integer[np.ndarray, "p 3"] | Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
        """Positions of lattice coordinates (whole, or fractional as marching cubes gives them)."""
        return self.origin + (index * self.spacing) @ self.axes


def corner(value: float | Sequence[float] | Tensor) -> Float[np.ndarray, "3"]:
    """A box's corner from three numbers or from one for all axes."""
    value = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.broadcast_to(np.asarray(value, np.float64), 3).copy()


def box_grid(lower: float | Sequence[float] | Tensor, upper: float | Sequence[float] | Tensor, resolution: int) -> Grid:
    """A grid that fills a box exactly, with (nearly) cubic cells.

    Args:
        lower: corner of the box.
        upper: the opposite corner.
        resolution: number of cells along the longest side.

    Raises:
        ValueError: if the box is empty or the resolution less than 1.
    """
    lower, upper = corner(lower), corner(upper)
    size = upper - lower
    if not (size > 0).all() or resolution < 1:
        raise ValueError(f"can't place {resolution} cells in the box from {lower.tolist()} to {upper.tolist()}: its upper "
                         "corner must be above its lower one, and the resolution at least 1")
    cells = np.ceil(size / size.max() * resolution - 1e-6).astype(int).clip(1)
    return Grid(lower, np.eye(3), size / cells, tuple(cells.tolist()))


def principal_axes(points: Float[Tensor, "p 3"]) -> Float[Tensor, "3 3"]:
    """Directions of largest, middle and least spread: rows, right-handed, signs fixed by the largest entries."""
    centred = points.double() - points.double().mean(0)
    axes = torch.linalg.eigh(centred.T @ centred)[1].T.flip(0)
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    return (axes * torch.tensor([1.0, 1.0, torch.linalg.det(axes).sign()]).to(axes)[:, None]).to(points)


def aligned_grid(points: Float[Tensor, "p 3"],
                 resolution: int,
                 *,
                 margin: float = 0.2,
                 axes: Float[Tensor, "3 3"] | None = None,
                 max_points: int = 2**28) -> Grid:
    """A grid of cubic cells around points, along their principal axes.

    Args:
        points: drawn from the surface.
        resolution: number of lattice *points* along the points' shortest side, margins included (as in IDR's code).
        margin: added on each side, in units of the points.
        axes: other axes than the principal ones (rows, orthonormal, right-handed).
        max_points: a flat shape makes the other sides very long; the cells are then made larger, to stay below this many.

    Raises:
        ValueError: if the resolution is below 2 or the axes are not orthonormal and right-handed.
    """
    if resolution < 2:
        raise ValueError(f"an aligned grid needs at least 2 points along its shortest side, got {resolution}")
    axes = (principal_axes(points.double()) if axes is None else axes.double()).cpu().numpy()
    local = points.detach().double().cpu().numpy() @ axes.T
    lower, upper = local.min(0) - margin, local.max(0) + margin
    size = upper - lower
    step = size.min() / (resolution - 1)
    cells = np.ceil(size / step - 1e-6).astype(int)
    while (cells + 1).prod() > max_points:
        step *= 1.02
        cells = np.ceil(size / step - 1e-6).astype(int)
    return Grid(lower @ axes, axes, np.full(3, step), tuple(cells.tolist()))
