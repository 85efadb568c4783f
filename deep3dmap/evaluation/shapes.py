"""All metrics of a reconstructed shape against the true one: of surfaces, of point sets, and DeepSDF's own.

Mesh accuracy, completion and cosine similarity as in the supplementary material of Park et al., CVPR 2019 (DeepSDF), the
first two following Seitz et al., CVPR 2006. They are quantiles, shares and means over points drawn from one surface, measured
against the whole of the other; DeepSDF draws 1,000 points for the first two and 2,500 for the third, which is noisier than
here but estimates the same quantity. Chamfer and earth mover's distance are in :mod:`deep3dmap.evaluation.point_sets`, all
else in :mod:`deep3dmap.evaluation.surfaces`.
"""

from collections.abc import Sequence

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.errors import DataError
from deep3dmap.evaluation import point_sets, surfaces
from deep3dmap.evaluation.point_sets import CHAMFER_POINTS, EMD_POINTS, chamfer_figures, checked_points, earth_movers_distance
from deep3dmap.evaluation.surfaces import closest_on_surface, compare_surfaces, draw_points, surface_figures

UNITS = surfaces.UNITS | point_sets.UNITS | {
    "mesh_accuracy": "units of the meshes",
    "mesh_completion": "fraction, at a distance in units of the meshes",
    "mesh_cosine_similarity": "mean |cosine| of the angle between normals",
}

ACCURACY_SHARE = 0.9
COMPLETION_DISTANCE = 0.01

Points = Float[np.ndarray, "p 3"]


def shape_metrics(predicted: trimesh.Trimesh,
                  true: trimesh.Trimesh | Points,
                  *,
                  scale: float = 1.0,
                  completion_distance: float = COMPLETION_DISTANCE,
                  thresholds: Sequence[float] = (),
                  relative_thresholds: Sequence[float] = (0.005, 0.01),
                  samples: int = CHAMFER_POINTS,
                  emd_samples: int = EMD_POINTS,
                  seed: int = 0) -> dict[str, float | bool]:
    """All metrics of a reconstructed shape; units in :data:`UNITS`.

    Args:
        predicted: the reconstruction, in the frame and units of ``true``.
        true: the true surface; or points of it, which give only the metrics that need no true faces.
        scale: all lengths are measured after multiplication by it; a shape's normalisation, for values in normalised units.
        completion_distance: at which a true point counts as completed, as ``mesh_completion@0.01``; after ``scale``.
        thresholds: distances for precision, recall and F-score; after ``scale``.
        relative_thresholds: the same as fractions of the true mesh's diagonal.
        samples: points drawn from each surface.
        emd_samples: number of them for the earth mover's distance; 0 to skip it. Fewer true points reduce it.
        seed: of the draws.

    Returns:
        The metrics of :func:`~deep3dmap.evaluation.surfaces.surface_metrics`; ``point_chamfer_squared``,
        ``point_distance_mean`` and ``emd`` (:mod:`~deep3dmap.evaluation.point_sets`); ``mesh_accuracy``, the smallest distance
        from the true surface within which 90 % of the reconstruction lie; ``mesh_completion@...``, the share of the true
        surface nearer than that to the reconstruction; ``mesh_cosine_similarity``, the mean |cosine| between the normals of
        true points and of the reconstruction's faces nearest to them.

    Raises:
        DataError: if a mesh has no faces, points or vertices are missing or not finite, or ``scale`` is not positive.
        MissingDependencyError: if libigl is not installed.
    """
    if not 0 < scale < np.inf:
        raise DataError(f"lengths can't be measured after multiplication by {scale}; the scale must be positive")
    predicted = _scaled(predicted, scale)
    drawn = draw_points(predicted, samples, seed, "the predicted mesh")
    if isinstance(true, trimesh.Trimesh):
        true = _scaled(true, scale)
        drawn_true = draw_points(true, samples, seed + 1, "the true mesh")  # another seed: the sets are independent
        compared = compare_surfaces(predicted, true, drawn, drawn_true)
        figures = surface_figures(compared, predicted, true, thresholds, relative_thresholds) | {
            "mesh_accuracy": float(np.quantile(compared.accuracy, ACCURACY_SHARE, method="inverted_cdf")),
            "mesh_cosine_similarity": float(compared.true_cosine.mean()),
        }
        true_points, completeness = drawn_true.points, compared.completeness
    else:
        true_points = _shuffled(checked_points(true) * scale, seed)
        completeness = closest_on_surface(true_points, predicted).distance
        figures = {"completeness_mean": float(completeness.mean()), "completeness_median": float(np.median(completeness))}
    figures[f"mesh_completion@{completion_distance:g}"] = float((completeness < completion_distance).mean())
    return figures | _of_points(drawn.points, true_points, emd_samples)


def _of_points(predicted: Points, true: Float[np.ndarray, "q 3"], emd_samples: int) -> dict[str, float]:
    figures = chamfer_figures(predicted, true)
    count = min(emd_samples, len(predicted), len(true))
    return figures | ({"emd": earth_movers_distance(predicted[:count], true[:count])} if count else {})


def _scaled(mesh: trimesh.Trimesh, scale: float) -> trimesh.Trimesh:
    return mesh if scale == 1 else trimesh.Trimesh(mesh.vertices * scale, mesh.faces, process=False)


def _shuffled(points: Points, seed: int) -> Points:
    """Points in random order, like drawn ones: any prefix is a random sample."""
    return np.random.default_rng(seed).permutation(np.asarray(points, np.float64))
