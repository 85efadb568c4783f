"""Distances between a reconstructed surface and the true one, in the units of the meshes.

Distances go from points drawn uniformly from one surface to the *nearest point of the other surface* (libigl), not to samples
of it. Accuracy and completeness as in Seitz et al. 2006 (Middlebury), precision, recall and F-score as in Knapitsch et al.
2017 (Tanks and Temples), normal consistency as in Mescheder et al. 2019 (Occupancy Networks).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float, Int

from deep3dmap.errors import DataError, MissingDependencyError

UNITS = {
    "accuracy": "units of the meshes",
    "completeness": "units of the meshes",
    "distance_mean": "units of the meshes",
    "distance_mean_relative": "fraction of the true mesh's diagonal",
    "chamfer_squared": "squared units of the meshes",
    "true_diagonal": "units of the meshes",
    "area": "squared units of the meshes",
    "volume": "cubed units of the meshes; null where the mesh is not closed",
    "precision, recall, f_score": "fraction, at a distance in units of the meshes, or in % of the true mesh's diagonal",
    "normal_consistency": "mean |cosine| of the angle between normals",
}

HIGHER_IS_BETTER = ("precision", "recall", "f_score", "normal_consistency")
NAMES = (*HIGHER_IS_BETTER, "accuracy_mean", "accuracy_median", "completeness_mean", "completeness_median", "distance_mean",
         "distance_mean_relative", "chamfer_squared", "true_diagonal", "area_predicted", "area_true", "volume_predicted",
         "volume_true", "watertight_predicted", "watertight_true")


class Closest(NamedTuple):
    """Of every query point: distance to the surface, the nearest face and the nearest point."""

    distance: Float[np.ndarray, "p"]
    face: Int[np.ndarray, "p"]
    point: Float[np.ndarray, "p 3"]


class Drawn(NamedTuple):
    """Points drawn uniformly by area from a surface, in random order, with the normals of their faces."""

    points: Float[np.ndarray, "p 3"]
    normals: Float[np.ndarray, "p 3"]


class Compared(NamedTuple):
    """Of points drawn from two surfaces: distances to the other one, and |cosine| between the normals there."""

    accuracy: Float[np.ndarray, "p"]
    completeness: Float[np.ndarray, "q"]
    predicted_cosine: Float[np.ndarray, "p"]
    true_cosine: Float[np.ndarray, "q"]


class Surface:
    """A surface for repeated nearest-point queries.

    Raises:
        DataError: if the mesh has no faces.
        MissingDependencyError: if libigl is not installed.
    """

    def __init__(self, mesh: trimesh.Trimesh):
        try:
            import igl
        except ImportError:
            raise MissingDependencyError("distances to a surface need libigl: pip install libigl") from None
        _check(mesh, "the mesh")
        self._arrays = np.ascontiguousarray(mesh.vertices, np.float64), np.ascontiguousarray(mesh.faces, np.int64)
        self._tree = igl.AABB()
        self._tree.init(*self._arrays)

    def closest(self, points: Float[np.ndarray, "p 3"]) -> Closest:
        """Nearest points of the surface, exact up to rounding."""
        squared, face, point = self._tree.squared_distance(*self._arrays, np.ascontiguousarray(points, np.float64))
        return Closest(np.sqrt(squared.clip(0)), face, np.asarray(point))


def closest_on_surface(points: Float[np.ndarray, "p 3"], mesh: trimesh.Trimesh) -> Closest:
    """Nearest points of a surface; errors as of :class:`Surface`."""
    return Surface(mesh).closest(points)


def vertex_errors(predicted: trimesh.Trimesh, true: trimesh.Trimesh) -> Float[np.ndarray, "v"]:
    """Distance of every predicted vertex from the true surface, for error maps."""
    return closest_on_surface(np.asarray(predicted.vertices), true).distance


def surface_metrics(predicted: trimesh.Trimesh,
                    true: trimesh.Trimesh,
                    *,
                    thresholds: Sequence[float] = (),
                    relative_thresholds: Sequence[float] = (0.005, 0.01),
                    samples: int = 100_000,
                    seed: int = 0) -> dict[str, float | bool]:
    """All metrics that compare two surfaces; units in :data:`UNITS`.

    Args:
        predicted: the reconstruction, in the frame and units of ``true``.
        true: the true surface.
        thresholds: distances for precision, recall and F-score, in units of the meshes; keys such as ``f_score@0.05``.
        relative_thresholds: the same as fractions of the true mesh's diagonal; keys such as ``f_score@0.5%``.
        samples: points drawn from each surface.
        seed: of the draw.

    Returns:
        ``accuracy_*`` (predicted to true) and ``completeness_*`` (true to predicted), mean and median; their means' mean
        ``distance_mean``, also as ``distance_mean_relative``; ``chamfer_squared``, the sum of both mean squared distances;
        precision, recall and F-score; ``normal_consistency``; area, volume (NaN if open) and ``watertight_*`` of both.

    Raises:
        DataError: if a mesh has no faces.
        MissingDependencyError: if libigl is not installed.
    """
    drawn = draw_points(predicted, samples, seed, "the predicted mesh"), draw_points(true, samples, seed, "the true mesh")
    compared = compare_surfaces(predicted, true, *drawn)
    return surface_figures(compared, predicted, true, thresholds, relative_thresholds)


def draw_points(mesh: trimesh.Trimesh, samples: int, seed: int, what: str = "the mesh") -> Drawn:
    """Points drawn uniformly by area; ``what`` is the mesh's name in an error.

    Raises:
        DataError: if the mesh has no faces, or vertices that are not finite.
    """
    _check(mesh, what)
    points, face = trimesh.sample.sample_surface(mesh, samples, seed=seed)
    return Drawn(np.asarray(points), mesh.face_normals[face])


def compare_surfaces(predicted: trimesh.Trimesh, true: trimesh.Trimesh, drawn_predicted: Drawn, drawn_true: Drawn) -> Compared:
    """Distances and |cosines| of points of each surface against the whole of the other."""
    accuracy, predicted_cosine = _one_way(drawn_predicted, true)
    completeness, true_cosine = _one_way(drawn_true, predicted)
    return Compared(accuracy, completeness, predicted_cosine, true_cosine)


def surface_figures(compared: Compared, predicted: trimesh.Trimesh, true: trimesh.Trimesh, thresholds: Sequence[float],
                    relative_thresholds: Sequence[float]) -> dict[str, float | bool]:
    """The metrics of :func:`surface_metrics` from the compared points."""
    accuracy, completeness = compared.accuracy, compared.completeness
    mean, diagonal = (accuracy.mean() + completeness.mean()) / 2, float(np.linalg.norm(true.extents))
    metrics = {
        "accuracy_mean": accuracy.mean(),
        "accuracy_median": np.median(accuracy),
        "completeness_mean": completeness.mean(),
        "completeness_median": np.median(completeness),
        "distance_mean": mean,
        "distance_mean_relative": mean / diagonal,
        "chamfer_squared": (accuracy**2).mean() + (completeness**2).mean(),
        "normal_consistency": (compared.predicted_cosine.mean() + compared.true_cosine.mean()) / 2,
        "true_diagonal": diagonal,
    }
    named = {f"{t:g}": t for t in thresholds} | {f"{100 * t:g}%": t * diagonal for t in relative_thresholds}
    for name, threshold in named.items():
        metrics |= {f"{key}@{name}": value for key, value in f_score(accuracy, completeness, threshold).items()}
    metrics = {key: float(value) for key, value in metrics.items()}
    return metrics | _solid(predicted, "predicted") | _solid(true, "true")


def f_score(accuracy: Float[np.ndarray, "p"], completeness: Float[np.ndarray, "q"], threshold: float) -> dict[str, float]:
    """Fractions of predicted and of true points that are closer than a threshold, and their harmonic mean."""
    precision, recall = float((accuracy < threshold).mean()), float((completeness < threshold).mean())
    both = precision + recall
    return {"precision": precision, "recall": recall, "f_score": 2 * precision * recall / both if both else 0.0}


def _one_way(drawn: Drawn, target: trimesh.Trimesh) -> tuple[Float[np.ndarray, "p"], Float[np.ndarray, "p"]]:
    """Distances of points from a surface, and |cosine| between their normals and those there."""
    closest = closest_on_surface(drawn.points, target)
    return closest.distance, np.abs((drawn.normals * target.face_normals[closest.face]).sum(1))


def _solid(mesh: trimesh.Trimesh, name: str) -> dict[str, float | bool]:
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    if not solid.is_watertight:  # files often duplicate vertices per face
        solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)
    closed = bool(solid.is_watertight)
    return {
        f"area_{name}": float(mesh.area),
        f"volume_{name}": float(solid.volume) if closed else float("nan"),
        f"watertight_{name}": closed
    }


def _check(mesh: trimesh.Trimesh, what: str) -> None:
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise DataError(
            f"{what} has {len(mesh.vertices)} vertices and {len(mesh.faces)} faces; distances need a mesh with faces "
            "and finite vertices")
