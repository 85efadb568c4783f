"""Normals of surfaces that are known by points only: scans, and depth maps.

Hoppe et al., "Surface Reconstruction from Unorganized Points", SIGGRAPH 1992, section 3.3: the normal at a point is the
direction in which its nearest neighbours spread least. Its sign comes from where the point was seen.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

#: Number of neighbours, including the point itself, that a normal is estimated from.
NEIGHBOURS = 16

#: Cosine between normal and line of sight below which neighbouring pixels count as two surfaces, not one slanted surface.
GRAZING = 0.1


def estimate_normals(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Unit normals of either sign, by principal components of each point's nearest :data:`NEIGHBOURS`.

    Raises:
        ValueError: for fewer than 3 points, or if some point's neighbours lie on one line.
    """
    count = min(NEIGHBOURS, len(points))
    if count < 3:
        raise ValueError(f"a normal needs at least 3 points, there are {count}")
    near = points[cKDTree(points).query(points, count)[1]]
    near = near - near.mean(1, keepdims=True)
    spread, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", near, near))
    straight = spread[:, 1] <= 1e-10 * spread[:, 2]
    if straight.any():
        raise ValueError(f"the {count} nearest neighbours of {int(straight.sum())} of {len(points)} points lie on a line (or "
                         "one place), so they have no normal")
    return axes[:, :, 0]


def orient_towards(points: Float[np.ndarray, "*n 3"], normals: Float[np.ndarray, "*n 3"],
                   viewpoint: Float[np.ndarray, "3"]) -> Float[np.ndarray, "*n 3"]:
    """The normals, flipped to face the position from which the points were seen."""
    away = ((viewpoint - points) * normals).sum(-1, keepdims=True) < 0
    return np.where(away, -normals, normals)


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
