"""Evaluation of rooms in the protocol of Atlas (Murez et al., ECCV 2020) and NeuralRecon (Sun et al., CVPR 2021).

Depth maps rendered from the mesh are compared with the sensor's. Then they are fused into a surface again, so that what no
frame shows (filled holes, the walls' other sides) doesn't count, and the vertices of that surface are compared with those of
the sensor's own fused depth maps.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import trimesh
from jaxtyping import Float

from deep3dmap.annotations import Count, Positive
from deep3dmap.errors import DataError
from deep3dmap.evaluation import depth_maps
from deep3dmap.evaluation.base import Metric
from deep3dmap.evaluation.depth_maps import depth_metrics
from deep3dmap.evaluation.point_sets import nearest_distances
from deep3dmap.evaluation.surfaces import f_score
from deep3dmap.geometry.tsdf import BlockVolume, DepthFrame
from deep3dmap.geometry.voxel_means import voxel_means
from deep3dmap.io.files import csv_text
from deep3dmap.registry import METRICS
from deep3dmap.renderers.mesh import DepthRenderer
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.recording import Recording


def point_metrics(predicted: Float[np.ndarray, "p 3"],
                  truth: Float[np.ndarray, "q 3"],
                  thresholds: Sequence[float] = (0.05, ),
                  spacing: float = 0.02) -> dict[str, float]:
    """Distances between the points of two surfaces.

    Args:
        predicted: points, metres; may be empty, then nothing is recalled, and distances are NaN.
        truth: points, metres.
        thresholds: distances, metres, below which a point counts as correct.
        spacing: voxels, metres, in which points are averaged first; 0 to keep all.

    Returns:
        ``accuracy_mean`` (predicted to true) and ``completeness_mean`` (true to predicted), metres; ``precision``, ``recall``
        and ``f_score`` by threshold.
    """
    if spacing:
        predicted, truth = voxel_means(predicted, spacing), voxel_means(truth, spacing)
    if len(predicted) and len(truth):
        accuracy, completeness = nearest_distances(predicted, truth), nearest_distances(truth, predicted)
    else:
        accuracy = completeness = np.array([np.nan])
    metrics = dict(accuracy_mean=float(accuracy.mean()), completeness_mean=float(completeness.mean()))
    for threshold in thresholds:
        shares = f_score(accuracy, completeness, threshold)
        metrics |= {f"{name}@{threshold:g}": value for name, value in shares.items()}
    return metrics


def room_metrics(mesh: trimesh.Trimesh,
                 recording: Recording,
                 *,
                 thresholds: Sequence[float] = (0.05, 0.02),
                 voxel_size: float = 0.04,
                 max_depth: float = 10.0,
                 fused_depth: float = 5.0,
                 every: int = 1) -> dict[str, float]:
    """The errors of a room's mesh; arguments as of :class:`RoomMetrics`.

    Returns:
        Means over the frames of :func:`depth_metrics`, NaN where a frame has no pixel with both depths; and
        :func:`point_metrics` of the fused surfaces; ``frames``, the number of frames that could be used.
    """
    render, sums = DepthRenderer(mesh), dict.fromkeys(depth_maps.NAMES, 0.0)
    volumes, used = [BlockVolume(voxel_size, max_depth=fused_depth) for _ in range(2)], 0
    for index in recording.tracked(every):
        K, pose = recording.depth_intrinsics[index], recording.poses[index]
        try:
            truth = recording.depth(index)
        except DataError:  # one damaged file must not end the evaluation of a long recording
            continue
        used += 1
        predicted = render(K, pose, truth.shape)
        sums = {name: sums[name] + value for name, value in depth_metrics(predicted, truth, max_depth).items()}
        for volume, depth in zip(volumes, (predicted, truth)):
            volume.integrate(DepthFrame(depth, K, pose))
    # frames that could not be used lower the means, as in the reference
    means = {name: value / len(range(0, len(recording), every)) for name, value in sums.items()}
    surfaces = (np.asarray(volume.mesh().vertices, np.float64) for volume in volumes)
    return means | point_metrics(*surfaces, thresholds) | dict(frames=used)


@METRICS.register_module()
class RoomMetrics(Metric):
    """Errors of depth maps and surfaces of rooms, in metres, by the protocol of Atlas and NeuralRecon; see docs/evaluation.md.

    Items hold a ``recording`` (:class:`Recording`) with depth maps, results the mesh in its world. Writes ``rooms.csv``.

    Args:
        thresholds: distances for precision, recall and F-score, metres.
        voxel_size: of the fused surfaces, metres.
        max_depth: true depths from here on, metres, don't count as errors of depth maps.
        fused_depth: larger depths, metres, are not fused.
        every: use every n-th frame.
    """

    higher_is_better = (*depth_maps.HIGHER_IS_BETTER, "precision", "recall", "f_score")
    names = (*depth_maps.NAMES, "accuracy_mean", "completeness_mean", "precision", "recall", "f_score", "rooms")

    def __init__(self,
                 thresholds: Sequence[Positive] = (0.05, 0.02),
                 voxel_size: Positive = 0.04,
                 max_depth: Positive = 10.0,
                 fused_depth: Positive = 5.0,
                 every: Count = 1):
        self.options = dict(thresholds=tuple(thresholds), voxel_size=voxel_size, max_depth=max_depth, fused_depth=fused_depth,
                            every=every)  # yapf: disable
        self.figures: dict[str, dict[str, float]] = {}
        self.remarks: list[str] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure one room."""
        recording = item.get("recording")
        if recording is None:
            return {}
        if recording.depth_intrinsics is None:
            self.remarks.append(f"{result.name} is not measured: its recording has no depth maps")
            return {}
        self.figures[result.name] = figures = room_metrics(result.mesh or trimesh.Trimesh(), recording, **self.options)
        self._remark(result.name, len(range(0, len(recording), self.options["every"])), figures)
        return figures

    def _remark(self, name: str, frames: int, figures: Mapping[str, float]) -> None:
        if figures["frames"] < frames:
            self.remarks.append(
                f"{name}: {frames - figures['frames']} of {frames} frames have no pose or a damaged depth map; "
                "they count as 0 in the means over its depth maps")
        if np.isnan(figures["abs_rel"]):
            self.remarks.append(f"{name}: a frame shows no reconstructed surface where depth is known, so the errors of its "
                                "depth maps are not in the means")

    def compute(self) -> dict[str, dict[str, float]]:
        """``rooms``: means over the rooms that have the figure, and the number of rooms."""
        if not self.figures:
            return {}
        rows = list(self.figures.values())
        means = {name: _known_mean([row[name] for row in rows]) for name in rows[0] if name != "frames"}
        return {"rooms": means | dict(rooms=len(rows))}

    def notes(self) -> list[str]:
        """What was not measured, or counts less."""
        return self.remarks

    def files(self) -> dict[str, str]:
        """``rooms.csv``: one row per room."""
        if not self.figures:
            return {}
        columns = ["room", *next(iter(self.figures.values()))]
        return {"rooms.csv": csv_text(columns, [{"room": name, **row} for name, row in self.figures.items()])}


def _known_mean(values: Sequence[float]) -> float:
    """The mean of those that are not NaN; NaN if all are."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
