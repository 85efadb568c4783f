"""Distances between two sets of points, as used to evaluate shape spaces.

Chamfer distance as DeepSDF's evaluation computes it (Park et al., CVPR 2019, supplementary material, "Metrics"; Fan et al.,
CVPR 2017, eq. 1): points of each set against the *points* of the other, not against its surface. So it is never zero for
two draws from one surface, and depends on the number of points: compare only values of equal numbers (DeepSDF: 30,000).
Earth mover's distance as in Fan et al., eq. 2, exactly, over 500 points in DeepSDF's paper.
"""

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from deep3dmap.errors import DataError

UNITS = {
    "point_chamfer_squared": "squared units of the points",
    "point_distance_mean": "units of the points",
    "emd": "units of the points",
}

CHAMFER_POINTS = 30_000
EMD_POINTS = 500
MOST_EMD_POINTS = 5000  # the assignment takes cubic time and quadratic memory: 200 MB here


def nearest_distances(points: Float[np.ndarray, "p 3"], others: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, "p"]:
    """Distance of every point from the nearest of the others."""
    return cKDTree(checked_points(others)).query(checked_points(points))[0]


def chamfer_figures(first: Float[np.ndarray, "p 3"], second: Float[np.ndarray, "q 3"]) -> dict[str, float]:
    """Chamfer distances of two point sets, both ways.

    Returns:
        ``point_chamfer_squared``: sum of both mean *squared* nearest distances, as in DeepSDF's ``evaluate.py``;
        ``point_distance_mean``: mean of both mean nearest distances.

    Raises:
        DataError: if there are no points, or some are not finite.
    """
    forth, back = nearest_distances(first, second), nearest_distances(second, first)
    return {
        "point_chamfer_squared": float((forth**2).mean() + (back**2).mean()),
        "point_distance_mean": float(forth.mean() + back.mean()) / 2,
    }


def earth_movers_distance(first: Float[np.ndarray, "p 3"], second: Float[np.ndarray, "q 3"]) -> float:
    """Mean distance between the points of two equal sets, matched one to one at minimum cost.

    The matching is exact (shortest augmenting paths), its sum divided by the number of points. It decreases with the number of
    points, even for two draws from one surface: compare only values of equal numbers.

    Raises:
        DataError: if the sets differ in size, have more than :data:`MOST_EMD_POINTS` points or none, or are not finite.
    """
    if len(first) != len(second) or len(first) > MOST_EMD_POINTS:
        raise DataError(f"the earth mover's distance matches equal sets of at most {MOST_EMD_POINTS} points one to one; these "
                        f"have {len(first)} and {len(second)}: draw fewer, and equally many of each")
    cost = cdist(checked_points(first), checked_points(second))
    return float(cost[linear_sum_assignment(cost)].mean())


def checked_points(points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p 3"]:
    """The points, if there are any and all are finite."""
    bad = int((~np.isfinite(points)).any(1).sum())
    if bad or not len(points):
        raise DataError(f"distances need finite points: {bad} of these {len(points)} are not"
                        if bad else "distances need points: this set is empty")
    return points
