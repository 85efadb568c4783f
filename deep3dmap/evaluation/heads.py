"""Errors of a reconstructed head against the true one, by the protocol of H3DS, in millimetres.

Source: Ramon et al., "H3D-Net: Few-Shot High-Fidelity 3D Head Reconstruction", ICCV 2021, section 5, as in the data set's own
package: similarity by landmarks, if there are any; iterative closest points (ICP) from a region of the true head to
the prediction; then the mean distance from the true vertices to the prediction, over the region or over the whole head. The
package measures to the nearest *vertex* (``'vertices'``), which depends on the prediction's mesh resolution;
``'surface'`` measures, and aligns, to the nearest point of its surface.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from trimesh.registration import procrustes

from deep3dmap.datasets.heads.landmark_checks import head_from_landmarks
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.evaluation.surfaces import Surface
from deep3dmap.registry import nearest
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS

FACE_RADIUS = 95.0  # of the face sphere around the nose tip, millimetres
TARGETS = ("vertices", "surface")
ITERATIONS, THRESHOLD = 20, 1e-5  # of ICP; the second in squared millimetres: both are trimesh's defaults, which H3DS uses
NOSE = "nose_tip"

Nearest = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class TrueHead:
    """The true surface of a head, in millimetres.

    Attributes:
        mesh: the surface; its vertices are the sample points, so their order and number matter.
        landmarks: positions by name; ``nose_tip`` is needed for the face sphere.
        regions: vertices by name, as in the data set: ``face`` (with ears and neck), ``face_sphere``, ``nose``.
    """

    mesh: trimesh.Trimesh
    landmarks: Mapping[str, Float[np.ndarray, "3"]] = field(default_factory=dict)
    regions: Mapping[str, Int[np.ndarray, "r"]] = field(default_factory=dict)

    @classmethod
    def of(cls, mesh: trimesh.Trimesh, landmarks: Mapping, regions: Mapping | None = None,
           units_per_mm: float = 1.0) -> "TrueHead":  # yapf: disable
        """A head from a world with ``units_per_mm`` units per millimetre; landmarks as in :func:`landmark_points`."""
        points = {name: point / units_per_mm for name, point in landmark_points(mesh, landmarks).items()}
        return cls(in_millimetres(mesh, units_per_mm), points, dict(regions or {}))

    def region(self, name: str) -> Int[np.ndarray, "r"]:
        """Vertices of a region; the face sphere is computed if not given.

        Raises:
            DataError: if there is no such region, no vertex in it, or the nose tip is unknown.
        """
        if name in self.regions:
            return self.regions[name]
        if name != "face_sphere":
            raise DataError(f"the true head has no region '{name}'; {nearest(name, [*self.regions, 'face_sphere'])}")
        return face_sphere(self.mesh, self.nose_tip)

    @property
    def nose_tip(self) -> Float[np.ndarray, "3"]:
        """The centre of the face sphere."""
        if NOSE not in self.landmarks:
            raise DataError(f"the true head has no landmark '{NOSE}', around which the face is measured; it has "
                            f"{', '.join(self.landmarks) or 'none'}")
        return self.landmarks[NOSE]


class HeadDistances(NamedTuple):
    """What :func:`head_distances` measures, in millimetres.

    Attributes:
        vertices: of the true head that were measured.
        true_to_predicted: their distances from the aligned prediction.
        predicted_to_true: distance of every predicted vertex from the whole true head.
        predicted: the aligned prediction.
        matrix: the similarity that aligned it.
    """

    vertices: Int[np.ndarray, "t"]
    true_to_predicted: Float[np.ndarray, "t"]
    predicted_to_true: Float[np.ndarray, "p"]
    predicted: trimesh.Trimesh
    matrix: Float[np.ndarray, "4 4"]


def in_millimetres(mesh: trimesh.Trimesh, units_per_mm: float) -> trimesh.Trimesh:
    """A mesh scaled to millimetres; vertices and faces only."""
    return trimesh.Trimesh(np.asarray(mesh.vertices) / units_per_mm, mesh.faces, process=False)


def landmark_points(mesh: trimesh.Trimesh, landmarks: Mapping) -> dict[str, Float[np.ndarray, "3"]]:
    """Positions of landmarks given as vertices of a mesh (integers) or as positions."""
    points = {}
    for name, value in landmarks.items():
        array = np.asarray(value)
        if array.ndim == 0 and array.dtype.kind in "iu":
            if not 0 <= array < len(mesh.vertices):
                raise DataError(f"landmark '{name}' is vertex {array}, but the mesh has {len(mesh.vertices)} vertices")
            array = mesh.vertices[int(array)]
        if array.shape != (3, ) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"landmark '{name}' must be a vertex index or three coordinates, got {value}")
        points[name] = np.array(array, np.float64)
    return points


def face_sphere(mesh: trimesh.Trimesh, nose_tip: Float[np.ndarray, "3"],
                radius: float = FACE_RADIUS) -> Int[np.ndarray, "r"]:  # yapf: disable
    """Vertices closer to the nose tip than ``radius`` (in the mesh's unit)."""
    found = np.flatnonzero(np.linalg.norm(mesh.vertices - nose_tip, axis=1) < radius)
    if not len(found):
        raise DataError(f"no vertex of the true head is within {radius:g} of the nose tip at {nose_tip.tolist()}; its "
                        f"bounds are {mesh.bounds.tolist()}: is the unit right (millimetres)?")
    return found


def align_by_landmarks(source: Mapping[str, Float[np.ndarray, "3"]],
                       target: Mapping[str, Float[np.ndarray, "3"]]) -> Float[np.ndarray, "4 4"]:
    """Similarity that maps landmarks to those of the same names: least-squares rotation, scale from the points' spread."""
    names = [name for name in target if name in source]
    if len(names) < 3:
        raise DataError(f"alignment needs three or more common landmarks; the prediction has "
                        f"{', '.join(source) or 'none'}, the true head {', '.join(target) or 'none'}")
    pairs = (np.stack([points[name] for name in names]) for points in (source, target))
    return procrustes(*pairs, reflection=False, return_cost=False)


def icp(points: Float[np.ndarray, "n 3"],
        closest: Nearest,
        iterations: int = ITERATIONS,
        threshold: float = THRESHOLD,
        with_scale: bool = True) -> Float[np.ndarray, "4 4"]:
    """Similarity that maps points to a shape, by iterative closest points; no reflections.

    Args:
        points: to be aligned; roughly in place already.
        closest: returns distances and nearest points of the shape.
        iterations: maximum number.
        threshold: stops when the mean squared distance decreases by less.
        with_scale: False for a rigid motion; H3DS also fits the scale.
    """
    total, last = np.eye(4), np.inf
    for _ in range(iterations):
        matrix, points, cost = procrustes(points, closest(points)[1], reflection=False, scale=with_scale)
        total = matrix @ total
        if last - cost < threshold:
            break
        last = cost
    return total


def head_distances(predicted: trimesh.Trimesh,
                   truth: TrueHead,
                   *,
                   region: str | None = None,
                   landmarks: Mapping | None = None,
                   to: str = "vertices",
                   with_scale: bool = True) -> HeadDistances:
    """Align a predicted head to the true one in a region, and measure there; without one, align in the face and measure all.

    Args:
        predicted: in millimetres, roughly where the true head is, unless there are landmarks.
        truth: the true head.
        region: name of a region; ``'face_sphere'`` for the face error. Without one the head is aligned in ``'face'``,
            or in the face sphere if the truth has no such region.
        landmarks: of the prediction, as vertices or positions, for a first alignment.
        to: ``'vertices'`` or ``'surface'``, see above.
        with_scale: whether the alignment may scale.

    Raises:
        ConfigError: for an unknown ``to``.
        DataError: for a prediction without faces, a missing region, or heads that can't be aligned.
    """
    if to not in TARGETS:
        raise ConfigError(f"to='{to}': {nearest(to, TARGETS)}")
    if not len(predicted.faces) or not np.isfinite(predicted.vertices).all():
        raise DataError(f"the predicted head has {len(predicted.vertices)} vertices and {len(predicted.faces)} faces; a mesh "
                        "with faces and finite vertices is needed")
    coarse = np.eye(4)
    if landmarks is not None:
        coarse = align_by_landmarks(landmark_points(predicted, landmarks), truth.landmarks)
    predicted = _moved(predicted, coarse)
    fixed = truth.region(region or ("face" if "face" in truth.regions else "face_sphere"))
    matrix = _inverse(icp(np.asarray(truth.mesh.vertices)[fixed], _nearest(predicted, to), with_scale=with_scale))
    predicted = _moved(predicted, matrix)
    vertices = fixed if region else np.arange(len(truth.mesh.vertices))
    return HeadDistances(vertices,
                         _nearest(predicted, to)(np.asarray(truth.mesh.vertices)[vertices])[0],
                         _nearest(truth.mesh, to)(np.asarray(predicted.vertices))[0], predicted, matrix @ coarse)


def head_metrics(predicted: trimesh.Trimesh,
                 truth: TrueHead,
                 *,
                 landmarks: Mapping | None = None,
                 to: Sequence[str] = TARGETS,
                 with_scale: bool = True) -> dict[str, float]:
    """Face and head, millimetres; arguments and errors as in :func:`head_distances`.

    Returns:
        For ``face`` (the sphere around the nose, aligned in it) and ``head``, and for each ``to``: ``face_vertices_mean`` and
        ``..._median`` from the true vertices to the prediction (the first is what H3DS reports), and
        ``face_vertices_reverse_mean`` and ``..._median`` from the predicted vertices (of the face: those in its sphere, NaN
        if there are none) to the true head.
    """
    figures = {}
    for name, region in (("face", "face_sphere"), ("head", None)):
        for target in to:
            measured = head_distances(predicted, truth, region=region, landmarks=landmarks, to=target, with_scale=with_scale)
            back = measured.predicted_to_true
            if region:
                back = back[np.linalg.norm(measured.predicted.vertices - truth.nose_tip, axis=1) < FACE_RADIUS]
            for way, distances in (("", measured.true_to_predicted), ("reverse_", back)):
                key = f"{name}_{target}_{way}"
                figures[f"{key}mean"] = float(distances.mean()) if len(distances) else float("nan")
                figures[f"{key}median"] = float(np.median(distances)) if len(distances) else float("nan")
    return figures


def head_axes(landmarks: Mapping[str, Float[np.ndarray, "3"]]) -> Float[np.ndarray, "3 3"]:
    """Unit vectors to the subject's left, upwards and out of the face, as rows, from the mean head's landmarks.

    Raises:
        DataError: if there are fewer than three landmarks, or they are collinear.
    """
    known = {name: torch.tensor(np.asarray(landmarks[name])) for name in HEAD_LANDMARKS if name in landmarks}
    if len(known) < 3:
        raise DataError(f"the head's directions need three landmarks or more, got {', '.join(known) or 'none'}")
    try:
        axes = head_from_landmarks(known)[:3, :3].T.numpy()
    except ValueError as error:
        raise DataError(f"the head's directions can't be determined from its landmarks: {error}") from None
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def _nearest(mesh: trimesh.Trimesh, to: str) -> Nearest:
    """Distances to and positions of a mesh's nearest vertices or surface points."""
    if to == "surface":
        surface = Surface(mesh)

        def on_surface(points):
            found = surface.closest(points)
            return found.distance, found.point

        return on_surface
    vertices = np.asarray(mesh.vertices)
    tree = cKDTree(vertices)

    def among_vertices(points):
        distance, index = tree.query(points)
        return distance, vertices[index]

    return among_vertices


def _moved(mesh: trimesh.Trimesh, matrix: Float[np.ndarray, "4 4"]) -> trimesh.Trimesh:
    return trimesh.Trimesh(trimesh.transform_points(mesh.vertices, matrix), mesh.faces, process=False)


def _inverse(matrix: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The inverse of an alignment, which must not be degenerate, as for a prediction far away."""
    if not np.isfinite(matrix).all() or not np.linalg.det(matrix[:3, :3]) > 1e-9:
        raise DataError("the predicted head can't be aligned with the true one: they are too far apart or differ too much in "
                        "size; provide landmarks of the prediction, or check its frame and unit")
    return np.linalg.inv(matrix)
