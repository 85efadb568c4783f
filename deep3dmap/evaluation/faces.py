"""The normalised mean error (NME) of faces: of 68 landmarks, of dense vertices, and of the shape.

Protocol of Zhu et al., "Face alignment across large poses: a 3D solution", CVPR 2016 (AFLW2000-3D), as in Feng et al., "Joint
3D face reconstruction and dense alignment with position map regression network", ECCV 2018 (PRNet), section 4: distances are
divided by the face's size, ``sqrt(width * height)`` of the true points' bounding box in the image, and averaged over three
bins of the yaw angle. The error of the shape is measured after the best similarity, and divided by the distance of the
outer corners of the eyes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.annotations import Positive
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.transforms import transform_points
from deep3dmap.registry import METRICS
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.uv_layout import UVLayout

INNER = slice(17, 68)  # of the 68 landmarks: all but the jaw
OUTER_EYE_CORNERS = [36, 45]


def face_size(points: Float[Tensor, "*batch n c"]) -> Float[Tensor, "*batch"]:
    """``sqrt(width * height)`` of the bounding box of points in an image."""
    width, height = (points.amax(-2) - points.amin(-2))[..., :2].unbind(-1)
    return (width * height).sqrt()


def nme(predicted: Float[Tensor, "*batch n c"],
        truth: Float[Tensor, "*batch n c"],
        size: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch"]:  # yapf: disable
    """The mean distance of points from the true ones, as a fraction of the face's size.

    Args:
        predicted, truth: in pixels, of two or three coordinates.
        size: of the face; by default :func:`face_size` of the true points.
    """
    return (predicted - truth).norm(dim=-1).mean(-1) / (face_size(truth) if size is None else size)


def reconstruction_nme(predicted: Float[Tensor, "n 3"], truth: Float[Tensor, "n 3"],
                       eye_distance: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The mean distance from the true points after the similarity that fits best, as a fraction of the eyes' distance.

    NaN if the predicted points lie on one line, as an untrained network's may: then no similarity is determined.
    """
    try:
        aligned = transform_points(align_points(predicted, truth), predicted)
    except ValueError:
        return torch.full_like(eye_distance, torch.nan)
    return (aligned - truth).norm(dim=-1).mean() / eye_distance


def yaw_bins(values: Sequence[float], yaw: Sequence[float], bins: Sequence[float]) -> list[float]:
    """The means of values by the faces' yaw.

    Args:
        values: of the faces.
        yaw: of the faces, degrees; its sign doesn't matter.
        bins: their upper limits, which belong to the next bin, except the last one.

    Returns:
        One mean for each bin, NaN for one without faces.
    """
    angles, values = np.abs(yaw), np.asarray(values, float)
    upper = np.array([*bins[:-1], np.nextafter(bins[-1], np.inf)])
    index = np.searchsorted(upper, angles, side="right")
    return [float(values[index == k].mean()) if (index == k).any() else float("nan") for k in range(len(bins))]


@METRICS.register_module()
class FaceNME(Metric):
    """Errors of faces whose landmarks are known, as fractions (0.05 is 5 %); smaller is better.

    ``nme68``: of the 68 landmarks in the image; ``nme68_3d``: in space; ``nme51``: of those inside the face, as a fraction of
    the whole face's size; ``nme_dense`` and ``nme_dense_3d``: of the vertices, where the item has its true ``position_map``;
    ``nme_reconstruction`` and ``nme_reconstruction_dense``: of the shape of landmarks and of vertices, after the best
    similarity, as a fraction of the distance between the outer corners of the eyes. In space, the mean of z is removed:
    no picture tells it, and data sets don't agree on its origin. Items with a ``yaw`` (degrees) are also averaged by bins of
    |yaw|, ``nme68@0-30``, and ``nme68@bins`` is the mean of the bins.

    Args:
        bins: upper limits of |yaw|, degrees, ascending.
        layout: of the true position maps, as in :meth:`UVLayout.load`.

    Raises:
        ConfigError: if ``bins`` don't ascend.
    """

    names = ("nme68", "nme68_3d", "nme51", "nme_dense", "nme_dense_3d", "nme_reconstruction", "nme_reconstruction_dense",
             "faces")  # yapf: disable

    def __init__(self, bins: Sequence[Positive] = (30, 60, 90), layout: str = "ict"):
        if not bins or list(bins) != sorted(set(bins)):
            raise ConfigError(f"FaceNME: bins={list(bins)} must be one or more upper limits of |yaw| in ascending order")
        self.bins, self.layout = tuple(bins), layout
        self._labels = [f"{low:g}-{high:g}" for low, high in zip((0, *bins), bins)]
        self.figures: list[dict[str, float]] = []
        self.yaw: list[float] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure one face."""
        if "landmarks" not in item or "landmarks" not in result.arrays:
            return {}
        truth = torch.as_tensor(item["landmarks"]).double()
        figures = landmark_errors(torch.as_tensor(result.arrays["landmarks"]).double(), truth)
        if "position_map" in item and "vertices" in result.arrays and truth.shape[-1] == 3:
            figures |= self._dense_errors(result.arrays["vertices"], item["position_map"], truth)
        self.figures.append({name: float(value) for name, value in figures.items()})
        self.yaw.append(abs(float(item.get("yaw", "nan"))))
        return self.figures[-1]

    def _dense_errors(self, vertices: Tensor, position_map: Tensor | np.ndarray, landmarks: Tensor) -> dict[str, Tensor]:
        maps = torch.as_tensor(position_map)
        truth = UVLayout.load(self.layout, maps.shape[-1]).vertices(maps).double()
        vertices = torch.as_tensor(vertices).double()
        if vertices.shape != truth.shape:
            raise ConfigError(f"FaceNME: layout='{self.layout}' has {len(truth)} vertices in maps of {maps.shape[-1]} pixels, "
                              f"the framework's faces have {len(vertices)}: give both the same layout")
        return dict(nme_dense=nme(vertices[:, :2], truth[:, :2]), nme_dense_3d=nme(level(vertices), level(truth)),
                    nme_reconstruction_dense=reconstruction_nme(vertices, truth, eye_distance(landmarks)))  # yapf: disable

    def compute(self) -> dict[str, dict[str, float]]:
        """``faces``: means over all faces; ``faces by yaw``: means of the bins, and the mean of these."""
        if not self.figures:
            return {}
        mean, by_yaw = {}, {}
        for name in dict.fromkeys(name for each in self.figures for name in each):
            rows = [(each[name], yaw) for each, yaw in zip(self.figures, self.yaw) if name in each]
            mean[name] = float(np.mean([value for value, _ in rows]))
            binned = dict(zip(self._labels, yaw_bins(*zip(*rows), self.bins)))
            by_yaw |= {f"{name}@{label}": value for label, value in binned.items() if not np.isnan(value)}
            if not np.isnan(list(binned.values())).any():
                by_yaw[f"{name}@bins"] = float(np.mean(list(binned.values())))
        groups = {"faces": mean | dict(faces=len(self.figures)), "faces by yaw": by_yaw}
        return {name: group for name, group in groups.items() if group}

    def notes(self) -> list[str]:
        """How many faces are in no bin."""
        outside = sum(yaw > self.bins[-1] for yaw in self.yaw)
        return [f"{outside} faces are turned by more than {self.bins[-1]} degrees and in no bin"] * bool(outside)


def landmark_errors(predicted: Float[Tensor, "68 3"], truth: Float[Tensor, "68 c"]) -> dict[str, Tensor]:
    """The errors of 68 landmarks by name; those in space where the true ones have three coordinates."""
    size = face_size(truth)
    figures = dict(nme68=nme(predicted[:, :2], truth[:, :2]), nme51=nme(predicted[INNER, :2], truth[INNER, :2], size))
    if truth.shape[-1] == 3:
        figures |= dict(nme68_3d=nme(level(predicted), level(truth)),
                        nme_reconstruction=reconstruction_nme(predicted, truth, eye_distance(truth)))  # yapf: disable
    return figures


def level(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points whose mean z is 0."""
    return points - points.mean(0) * torch.tensor([0.0, 0.0, 1.0]).to(points)


def eye_distance(landmarks: Float[Tensor, "68 3"]) -> Float[Tensor, ""]:
    """The distance of the outer corners of the eyes."""
    right, left = landmarks[OUTER_EYE_CORNERS]
    return (left - right).norm()
