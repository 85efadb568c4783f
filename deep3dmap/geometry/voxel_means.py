"""Thinning of point clouds: one point for each occupied voxel."""

import numpy as np
from jaxtyping import Float


def voxel_means(points: Float[np.ndarray, "p 3"], size: float) -> Float[np.ndarray, "q 3"]:
    """The mean of the points in each occupied voxel.

    The grid is that of Open3D's ``voxel_down_sample``: it starts half a voxel below the smallest coordinates.

    Args:
        points: in any unit.
        size: side of a voxel, in the same unit.

    Returns:
        Points in ascending order of their voxels, the first coordinate slowest.
    """
    if not len(points):
        return points
    voxels = np.floor((points - (points.min(0) - size / 2)) / size).astype(np.int64)
    occupied, index = np.unique(np.ravel_multi_index(voxels.T, voxels.max(0) + 1), return_inverse=True)
    sums = [np.bincount(index, column, len(occupied)) for column in points.T]
    return np.stack(sums, 1) / np.bincount(index)[:, None]
