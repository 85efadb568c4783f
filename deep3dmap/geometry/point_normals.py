"""Normals of surfaces that are known by points only: scans, and depth maps.

Hoppe et al., "Surface Reconstruction from Unorganized Points", SIGGRAPH 1992, section 3.3: the normal at a point is the
direction in which its nearest neighbours spread least. Its sign comes from where the point was seen.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

#: Number of neighbours, including the point itself, that a normal is estimated from.
NEIGHBOURS = 16

#: Differences between spreads this much below the largest spread count as none.
FLAT = 1e-10

#: Cosine between normal and line of sight below which neighbouring pixels count as two surfaces, not one slanted surface.
GRAZING = 0.1


def estimate_normals(points: Float[np.ndarray, "n 3"], neighbours: int = NEIGHBOURS) -> Float[np.ndarray, "n 3"]:
    """Unit normals of either sign, by principal components of each point's nearest neighbours.

    Args:
        points: at least 3.
        neighbours: that count, the point itself among them; all points where there are fewer.

    Raises:
        ValueError: for fewer than 3 points or neighbours, if some point's neighbours lie on one line, or if a point isn't
            finite.
    """
    return _principal_axes(points, neighbours)[2][:, :, 0]


def cloud_normals(points: Float[Tensor, "n 3"],
                  neighbours: int = NEIGHBOURS,
                  to_neighbours: bool = False) -> Float[Tensor, "n 3"]:
    """Unit normals as of ``estimate_normals``, differentiable with respect to the points (once, for the neighbours found).

    The derivative of an eigenvector n with respect to its matrix C is the sum over the others ``v (v^T dC n) / (s_n - s_v)``,
    with eigenvalues s: finite where the two large ones agree, as in regular grids.

    Args:
        points, neighbours: as of ``estimate_normals``.
        to_neighbours: signs as of ``orient_to_neighbours``; either sign otherwise.

    Raises:
        ValueError: as ``estimate_normals``.
    """
    positions = points.detach().cpu().double().numpy()
    index, spread, axes = _principal_axes(positions, neighbours)
    if to_neighbours:
        axes[:, :, 0] = orient_to_neighbours(positions, axes[:, :, 0], neighbours)
    spread, axes = (torch.from_numpy(value).to(points) for value in (spread, axes))
    near = points[torch.from_numpy(index).to(points.device)]
    near = near - near.mean(1, keepdim=True)
    normal, others = axes[:, :, :1], axes[:, :, 1:]
    gaps = (spread[:, :1] - spread[:, 1:])[..., None]
    gaps = torch.where(gaps < -FLAT * spread[:, 2:, None], gaps, -torch.inf)
    change = others @ (((near @ others).transpose(1, 2) @ (near @ normal)) / gaps)
    return (normal + (change - change.detach()))[..., 0]


def _principal_axes(points: Float[np.ndarray, "n 3"],
                    neighbours: int) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3 3"]]:
    """Each point's nearest neighbours, their squared spreads, ascending, and the axes (columns) along which they spread so."""
    count = min(neighbours, len(points))
    if count < 3:
        raise ValueError(f"a normal needs at least 3 points, there are {count}")
    if not np.isfinite(points).all():
        raise ValueError(f"points: must be finite, {int((~np.isfinite(points)).any(1).sum())} of {len(points)} are not")
    index = cKDTree(points).query(points, count)[1]
    near = points[index]
    near = near - near.mean(1, keepdims=True)
    spread, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", near, near))
    straight = spread[:, 1] <= FLAT * spread[:, 2]
    if straight.any():
        raise ValueError(f"the {count} nearest neighbours of {int(straight.sum())} of {len(points)} points lie on a line (or "
                         "one place), so they have no normal")
    return index, spread, axes


def orient_towards(points: Float[np.ndarray, "*n 3"], normals: Float[np.ndarray, "*n 3"],
                   viewpoint: Float[np.ndarray, "3"]) -> Float[np.ndarray, "*n 3"]:
    """The normals, flipped to face the position from which the points were seen."""
    away = ((viewpoint - points) * normals).sum(-1, keepdims=True) < 0
    return np.where(away, -normals, normals)


def orient_to_neighbours(points: Float[np.ndarray, "n 3"],
                         normals: Float[np.ndarray, "n 3"],
                         neighbours: int = NEIGHBOURS) -> Float[np.ndarray, "n 3"]:
    """The normals, flipped to the side on which at least half of the nearest neighbours lie.

    A sign that moves with the cloud and needs no viewpoint, for local frames (Tombari, Salti and Di Stefano, "Unique
    Signatures of Histograms for Local Surface Description", ECCV 2010, section 3). Neighbouring points may still differ in it.
    Where all neighbours lie in one plane, the first component above 1/2 is made positive.

    Args:
        points, normals: one normal a point.
        neighbours: that count, the point itself among them; all points where there are fewer.

    Raises:
        ValueError: for fewer than 2 points or neighbours.
    """
    count = min(neighbours, len(points))
    if count < 2:
        raise ValueError(f"neighbours: 2 points or more are needed to tell sides, there are {count}")
    near = points[cKDTree(points).query(points, count)[1]] - points[:, None]
    height = np.einsum("nki,ni->nk", near, normals)
    height[np.abs(height) <= FLAT * np.linalg.norm(near, axis=-1).max(1, keepdims=True)] = 0
    steep = np.take_along_axis(normals, (np.abs(normals) > 0.5).argmax(1)[:, None], 1)[:, 0]
    away = np.where((height == 0).all(1), steep < 0, 2 * (height > 0).sum(1) < count)
    return np.where(away[:, None], -normals, normals)


def grid_normals(points: Float[np.ndarray, "h w 3"],
                 seen: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Normals of a depth map's points, from differences between neighbouring pixels.

    Args:
        points: in the camera's frame, of each pixel.
        seen: pixels whose point is known.

    Returns:
        Unit normals that face the camera; and where they are known: pixels with a neighbour on both sides of a row and of a
        column. Normals elsewhere are 0, as are grazing ones: across a depth discontinuity differences connect two surfaces.
    """
    known = np.zeros_like(seen)
    known[1:-1, 1:-1] = seen[1:-1, 1:-1] & seen[1:-1, 2:] & seen[1:-1, :-2] & seen[2:, 1:-1] & seen[:-2, 1:-1]
    filled = np.where(seen[..., None], points, 0.0)
    across, down = np.zeros_like(filled), np.zeros_like(filled)
    across[:, 1:-1], down[1:-1] = filled[:, 2:] - filled[:, :-2], filled[2:] - filled[:-2]
    normals = unit_vectors(np.cross(down, across))
    normals = orient_towards(filled, normals, np.zeros(3))
    known &= -(normals * unit_vectors(filled)).sum(-1) > GRAZING
    return np.where(known[..., None], normals, 0.0), known


def depth_points(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w 3"]:
    """The points of a depth map (z) in its camera's frame; the first pixel's centre is at (0.5, 0.5)."""
    height, width = depth.shape
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    return rays / rays[..., 2:] * depth[..., None]


def unit_vectors(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Vectors divided by their lengths; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
