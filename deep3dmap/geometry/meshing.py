"""Surfaces of signed distance fields as triangle meshes, by marching cubes (Lewiner et al. 2003, in scikit-image).

:func:`extract_surface` meshes a box; :func:`extract_surface_aligned` is the evaluation procedure of IDR (Yariv et al., NeurIPS
2020): a coarse mesh locates the shape, a fine grid follows its principal axes.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from skimage import measure
from torch import Tensor

from deep3dmap.errors import Deep3DError
from deep3dmap.geometry.meshing_grids import Grid, aligned_grid, box_grid, check_resolution
from deep3dmap.geometry.meshing_samples import Field, FieldSampler, sample_coarse_to_fine, sample_dense
from deep3dmap.geometry.triangles import largest_component, sample_surface

Method = Literal["coarse_to_fine", "dense"]
CHUNK = 100_000


class NoSurfaceError(Deep3DError, ValueError):
    """The field doesn't cross the level anywhere on the grid, so there is nothing to mesh."""


def extract_surface(sdf: Field,
                    lower: float | Sequence[float] | Tensor,
                    upper: float | Sequence[float] | Tensor,
                    resolution: int,
                    *,
                    level: float = 0.0,
                    chunk: int = CHUNK,
                    method: Method = "coarse_to_fine",
                    lipschitz: float = 1.5) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """Mesh the surface ``sdf = level`` inside a box.

    Args:
        sdf: from (p, 3) points to (p,) values, positive outside. Called without gradients.
        lower: corner of the box (three numbers, or one for all axes). If a tensor, the points get its device and type.
        upper: the opposite corner.
        resolution: cells along the box's longest side. The other sides have as many (nearly cubic) cells as fit.
        level: value of the field on the surface, in its own units.
        chunk: most points in one call of ``sdf``; smaller needs less memory.
        method: ``dense`` evaluates every lattice point; ``coarse_to_fine`` gives the same mesh from a small part of them.
        lipschitz: for ``coarse_to_fine``: bound on how much the field changes per distance. A distance field has 1; the
            default leaves a margin for trained networks. Larger is safer and slower.

    Returns:
        Vertices in the box's frame and faces, oriented outward. Open where the surface leaves the box.

    Raises:
        NoSurfaceError: (a ValueError) if the field doesn't cross the level; the message contains the range seen.
        ValueError: if the box is empty, or the field's values have a wrong shape or are not finite.
        ConfigError: if the grid is too large for this machine's memory.
    """
    check_resolution(resolution)
    grid = box_grid(lower, upper, resolution)
    return mesh_grid(sdf, grid, level=level, chunk=chunk, method=method, lipschitz=lipschitz, like=_like(lower))


def extract_surface_aligned(sdf: Field,
                            lower: float | Sequence[float] | Tensor,
                            upper: float | Sequence[float] | Tensor,
                            resolution: int,
                            *,
                            coarse_resolution: int = 99,
                            margin: float = 0.2,
                            generator: torch.Generator | None = None,
                            **options) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """Mesh a surface on a tight grid along its principal axes (the high-resolution mesh of IDR's evaluation).

    A coarse mesh of the box gives the largest piece by area; points drawn from it give the axes and the extent. The grid may
    reach beyond the box by ``margin``. Other pieces that lie in the grid are meshed as well: see
    :func:`~deep3dmap.geometry.triangles.largest_component`.

    Args:
        sdf: as for :func:`extract_surface`, as are ``lower``, ``upper`` and ``options``.
        lower: corner of the box that is searched.
        upper: the opposite corner.
        resolution: lattice *points* along the shortest of the shape's sides.
        coarse_resolution: cells along the box's longest side for the first mesh.
        margin: left free around the points, in units of the box (0.2 in IDR's unit sphere).
        generator: of the draw.

    Raises:
        NoSurfaceError: (a ValueError) if the field doesn't cross the level.
    """
    coarse = largest_component(*extract_surface(sdf, lower, upper, coarse_resolution, **options))
    grid = aligned_grid(sample_surface(*coarse, 10_000, generator), resolution, margin=margin)
    return mesh_grid(sdf, grid, like=_like(lower), **options)


def mesh_grid(sdf: Field,
              grid: Grid,
              *,
              level: float = 0.0,
              chunk: int = CHUNK,
              method: Method = "coarse_to_fine",
              lipschitz: float = 1.5,
              like: Tensor | None = None) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """Mesh a field on any grid: what :func:`extract_surface` does with the grid of a box.

    Args:
        sdf: from (p, 3) points to (p,) values, positive outside.
        grid: see :func:`~deep3dmap.geometry.meshing_grids.box_grid` and
            :func:`~deep3dmap.geometry.meshing_grids.aligned_grid`.
        level: as for :func:`extract_surface`, as are ``chunk``, ``method`` and ``lipschitz``.
        like: the points that the field is given, and the mesh, have this tensor's device and type (default: CPU, float32).

    Raises:
        NoSurfaceError: (a ValueError) if the field doesn't cross the level.
        ValueError: for an unknown method or a ``lipschitz`` or ``chunk`` that is not positive.
    """
    if method not in ("coarse_to_fine", "dense") or lipschitz <= 0 or chunk < 1:
        raise ValueError(f"method must be 'coarse_to_fine' or 'dense', lipschitz and chunk positive; got method='{method}', "
                         f"lipschitz={lipschitz}, chunk={chunk}")
    sample = FieldSampler(sdf, grid, level, chunk, torch.empty(0) if like is None else like)
    volume = sample_dense(sample) if method == "dense" else sample_coarse_to_fine(sample, lipschitz)
    if not sample.lowest < 0 < sample.highest:
        lowest, highest = sample.lowest + level, sample.highest + level
        raise NoSurfaceError(
            f"no surface: on the {'x'.join(map(str, grid.shape))} grid the sdf was between {lowest:.4g} and {highest:.4g} "
            f"wherever it was evaluated and never crosses {level:g}; all of it is "
            f"{'outside' if lowest >= level else 'inside'}. Use another box, a finer grid, or train longer.")
    # scikit-image's 'descent': an object of lower values, so that the faces' normals point to the higher ones
    vertices, faces, _, _ = measure.marching_cubes(volume, 0.0, gradient_direction="descent")
    vertices = torch.as_tensor(grid.points(vertices.astype(np.float64))).to(sample.like)
    return vertices, torch.as_tensor(faces.astype(np.int64), device=sample.like.device)


def _like(lower) -> Tensor:
    return lower.detach() if isinstance(lower, Tensor) and lower.is_floating_point() else torch.empty(0)
