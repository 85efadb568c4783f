"""How close a reconstructed surface is to the true one, in the units of the meshes.

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


class Closest(NamedTuple):
    """Of every query point: distance to the surface, the nearest face and the nearest point."""

    distance: Float[np.ndarray, "p"]
    face: Int[np.ndarray, "p"]
    point: Float[np.ndarray, "p 3"]


def closest_on_surface(points: Float[np.ndarray, "p 3"], mesh: trimesh.Trimesh) -> Closest:
    """Nearest points of a surface, exact up to rounding.

    Raises:
        DataError: if the mesh has no faces.
        MissingDependencyError: if libigl is not installed.
    """
    try:
        import igl
    except ImportError:
        raise MissingDependencyError("distances to a surface need libigl: pip install libigl") from None
    _check(mesh, "the mesh")
    squared, face, point = igl.point_mesh_squared_distance(np.ascontiguousarray(points, np.float64),
                                                           np.ascontiguousarray(mesh.vertices, np.float64),
                                                           np.ascontiguousarray(mesh.faces, np.int64))
    return Closest(np.sqrt(squared.clip(0)), face, point)


def vertex_errors(predicted: trimesh.Trimesh, true: trimesh.Trimesh) -> Float[np.ndarray, "v"]:
    """Distance of every predicted vertex from the true surface, for error maps."""
    return closest_on_surface(np.asarray(predicted.vertices), true).distance


def surface_metrics(predicted: trimesh.Trimesh,
                    true: trimesh.Trimesh,
                    *,
                    thresholds: Sequence[float] = (),
                    relative_thresholds: Sequence[float] = (0.005, 0.01),
                    samples: int = 100_000,
                    seed: int = 0,
                    crop: Float[np.ndarray, "2 3"] | None = None) -> dict[str, float | bool]:
    """All figures that compare two surfaces; :data:`UNITS` says in what units.

    Args:
        predicted: the reconstruction, in the frame and units of ``true``.
        true: the true surface.
        thresholds: distances for precision, recall and F-score, in units of the meshes; keys such as ``f_score@0.05``.
        relative_thresholds: the same as fractions of the true mesh's diagonal; keys such as ``f_score@0.5%``.
        samples: points drawn from each surface.
        seed: of the draw.
        crop: lower and upper corner of a box; points drawn outside it don't count (areas and volumes are of the whole meshes).

    Returns:
        ``accuracy_*`` (predicted to true) and ``completeness_*`` (true to predicted), mean and median; their means' mean
        ``distance_mean``, also as ``distance_mean_relative``; ``chamfer_squared``, the sum of both mean squared distances;
        precision, recall and F-score; ``normal_consistency``; area, volume (NaN if open) and ``watertight_*`` of both.

    Raises:
        DataError: if a mesh has no faces, or no point of it lies in the crop.
        MissingDependencyError: if libigl is not installed.
    """
    _check(predicted, "the predicted mesh")
    _check(true, "the true mesh")
    accuracy, predicted_cosine = _one_way(predicted, true, samples, seed, crop, "the predicted mesh")
    completeness, true_cosine = _one_way(true, predicted, samples, seed, crop, "the true mesh")
    mean, diagonal = (accuracy.mean() + completeness.mean()) / 2, float(np.linalg.norm(true.extents))
    metrics = {
        "accuracy_mean": accuracy.mean(),
        "accuracy_median": np.median(accuracy),
        "completeness_mean": completeness.mean(),
        "completeness_median": np.median(completeness),
        "distance_mean": mean,
        "distance_mean_relative": mean / diagonal,
        "chamfer_squared": (accuracy**2).mean() + (completeness**2).mean(),
        "normal_consistency": (predicted_cosine.mean() + true_cosine.mean()) / 2,
        "true_diagonal": diagonal,
    }
    named = {f"{t:g}": t for t in thresholds} | {f"{100 * t:g}%": t * diagonal for t in relative_thresholds}
    for name, threshold in named.items():
        metrics |= {f"{key}@{name}": value for key, value in f_score(accuracy, completeness, threshold).items()}
    metrics = {key: float(value) for key, value in metrics.items()}
    return metrics | _solid(predicted, "predicted") | _solid(true, "true")


def f_score(accuracy: Float[np.ndarray, "p"], completeness: Float[np.ndarray, "q"], threshold: float) -> dict[str, float]:
    """Fractions of predicted and of true points that are nearer than a threshold, and their harmonic mean."""
    precision, recall = float((accuracy < threshold).mean()), float((completeness < threshold).mean())
    both = precision + recall
    return {"precision": precision, "recall": recall, "f_score": 2 * precision * recall / both if both else 0.0}


def _one_way(source: trimesh.Trimesh, target: trimesh.Trimesh, samples: int, seed: int, crop, what: str):
    """Distances from points drawn from one surface to the other, and |cosine| between the normals there."""
    points, face = trimesh.sample.sample_surface(source, samples, seed=seed)
    if crop is not None:
        inside = ((points >= crop[0]) & (points <= crop[1])).all(1)
        points, face = points[inside], face[inside]
        if not len(points):
            raise DataError(
                f"no point of {what} lies in the crop from {crop[0].tolist()} to {crop[1].tolist()}; its bounds are "
                f"{source.bounds.tolist()}: are both in the same frame?")
    closest = closest_on_surface(np.asarray(points), target)
    cosine = (source.face_normals[face] * target.face_normals[closest.face]).sum(1)
    return closest.distance, np.abs(cosine)


def _solid(mesh: trimesh.Trimesh, name: str) -> dict[str, float | bool]:
    merged = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True)  # files often repeat a vertex for each face
    closed = bool(merged.is_watertight)
    return {
        f"area_{name}": float(mesh.area),
        f"volume_{name}": float(merged.volume) if closed else float("nan"),
        f"watertight_{name}": closed
    }


def _check(mesh: trimesh.Trimesh, what: str) -> None:
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise DataError(
            f"{what} has {len(mesh.vertices)} vertices and {len(mesh.faces)} faces; distances need a mesh with faces "
            "and finite vertices")
