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


def estimate_normals(points: Float[np.ndarray, "n 3"], neighbours: int = NEIGHBOURS) -> Float[np.ndarray, "n 3"]:
    """Unit normals of either sign, by principal components of each point's nearest neighbours.

    Args:
        points: at least 3.
        neighbours: that count, the point itself among them; all points where there are fewer.

    Raises:
        ValueError: for fewer than 3 points or neighbours, or if some point's neighbours lie on one line.
    """
    count = min(neighbours, len(points))
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


def orient_to_neighbours(points: Float[np.ndarray, "n 3"],
                         normals: Float[np.ndarray, "n 3"],
                         neighbours: int = NEIGHBOURS) -> Float[np.ndarray, "n 3"]:
    """The normals, flipped to the side on which at least half of the nearest neighbours lie.

    A sign that moves with the cloud and needs no viewpoint, for local frames (Tombari, Salti and Di Stefano, "Unique
    Signatures of Histograms for Local Surface Description", ECCV 2010, section 3). Neighbouring points may still differ in it.

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
    above = (np.einsum("nki,ni->nk", near, normals) > 0).sum(1)
    return np.where((2 * above < count)[:, None], -normals, normals)


def grid_normals(points: Float[np.ndarray, "h w 3"],
                 seen: Bool[np.ndarray, "h w"],
                 grazing: float = GRAZING) -> tuple[Float[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """Normals of a depth map's points, from differences between neighbouring pixels.

    Args:
        points: in the camera's frame, of each pixel.
        seen: pixels whose point is known.
        grazing: least cosine between a normal and the line of sight. Across a depth discontinuity the
            differences connect two surfaces, and their normal is nearly perpendicular to the line of sight.

    Returns:
        Unit normals that face the camera; and where they are known: pixels with a neighbour on both sides of a row and of a
        column. Normals elsewhere are 0.
    """
    known = np.zeros_like(seen)
    known[1:-1, 1:-1] = seen[1:-1, 1:-1] & seen[1:-1, 2:] & seen[1:-1, :-2] & seen[2:, 1:-1] & seen[:-2, 1:-1]
    filled = np.where(seen[..., None], points, 0.0)
    across, down = np.zeros_like(filled), np.zeros_like(filled)
    across[:, 1:-1], down[1:-1] = filled[:, 2:] - filled[:, :-2], filled[2:] - filled[:-2]
    normals = _unit(np.cross(down, across))
    normals = orient_towards(filled, normals, np.zeros(3))
    known &= -(normals * _unit(filled)).sum(-1) > grazing
    return np.where(known[..., None], normals, 0.0), known


def depth_points(depth: Float[np.ndarray, "h w"], K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "h w 3"]:
    """The points of a depth map (z) in its camera's frame; the first pixel's centre is at (0.5, 0.5)."""
    height, width = depth.shape
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
    return rays / rays[..., 2:] * depth[..., None]


def _unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)
