"""The metrics of a report: name, unit, format, direction, and a one-line explanation each."""

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Term:
    """How a metric is shown.

    Attributes:
        label: its name in a table.
        means: a one-line explanation.
        better: "higher", "lower" or "".
        unit: written after the value.
        digits: after the decimal point, or None for three significant ones.
        percent: the value is a fraction, shown in per cent.
        headline: priority at the top of the page; 0 for never.
    """

    label: str
    means: str = ""
    better: str = ""
    unit: str = ""
    digits: int | None = None
    percent: bool = False
    headline: int = 0

    def show(self, value: float | int | None) -> str:
        """The value without its unit; a dash for None."""
        if value is None:
            return "\N{EN DASH}"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if not math.isfinite(value):
            return "\N{EN DASH}" if math.isnan(value) else "\N{INFINITY}"
        if self.percent:
            return f"{100 * value:.{1 if self.digits is None else self.digits}f}"
        if self.digits is not None:
            return f"{value:.{self.digits}f}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    @property
    def shown_unit(self) -> str:
        """The unit of ``show``'s value."""
        return "%" if self.percent else self.unit


_MEDIAN, _BETTER = "Half of the points are nearer.", "Half of the cameras are better."
_CLOSED, _DEGREES = "none if it isn't closed.", "\N{DEGREE SIGN}"
TERMS = {
    "psnr": Term("PSNR", "Similarity of rendering and photograph on the object. 20 dB is rough, 30 dB close, 40 dB hardly "
                 "distinguishable.", "higher", "dB", 2, headline=8),
    "ssim": Term("SSIM", "Similarity of local structure (edges, contrast) of rendering and photograph; 1 is equal.", "higher",
                 digits=3, headline=5),
    "mask_iou": Term("Mask IoU", "Overlap of the mesh's silhouette with the object's mask: shared area over joint area; 1 is "
                     "equal.", "higher", digits=3, headline=7),
    "mask_iou_min": Term("Mask IoU, worst", "Of the view with the smallest overlap.", "higher", digits=3),
    "views": Term("Views", "Number of photographs that the figures above are means of.", digits=0),
    "distance_mean": Term("Mean distance", "Between reconstructed and true surface, mean of both directions.", "lower",
                          headline=9),
    "distance_mean_relative": Term("Mean distance / diagonal", "Mean distance as a share of the true object's diagonal.",
                                   "lower", digits=2, percent=True, headline=10),
    "chamfer_squared": Term("Squared Chamfer distance", "Sum over both directions of the mean squared distance, in squared "
                            "units.", "lower"),
    "point_chamfer_squared": Term("Squared Chamfer distance of points", "Sum over both directions of the mean squared "
                                  "distance between nearest drawn points, in squared units.", "lower"),
    "point_distance_mean": Term("Mean distance of points", "Between nearest drawn points, mean of both directions.", "lower"),
    "emd": Term("Earth mover's distance", "Mean distance of points matched one to one.", "lower"),
    "mesh_accuracy": Term("Mesh accuracy", "Distance from the true surface within which 90 % of the reconstruction lie.",
                          "lower"),
    "mesh_completion": Term("Mesh completion", "Share of the true surface within the distance of the reconstruction.",
                            "higher", percent=True),
    "mesh_cosine_similarity": Term("Mesh cosine similarity", "Mean cosine between true normals and those of the "
                                   "reconstruction's nearest faces.", "higher", digits=3),
    "accuracy_mean": Term("Accuracy", "Mean distance from the reconstruction to the true surface.", "lower", headline=4),
    "accuracy_median": Term("Accuracy, median", _MEDIAN, "lower"),
    "completeness_mean": Term("Completeness", "Mean distance from the true surface to the reconstruction.", "lower",
                              headline=3),
    "completeness_median": Term("Completeness, median", _MEDIAN, "lower"),
    "f_score": Term("F-score", "Harmonic mean of precision and recall: both surfaces within the threshold of each other.",
                    "higher", percent=True, headline=6),
    "precision": Term("Precision", "Share of the reconstruction within the threshold of the true surface.", "higher",
                      percent=True),
    "recall": Term("Recall", "Share of the true surface within the threshold of the reconstruction.", "higher", percent=True),
    "normal_consistency": Term("Normal consistency", "Mean cosine between normals of nearest points on both surfaces; 1 is "
                               "equal.", "higher", digits=3, headline=2),
    "true_diagonal": Term("True diagonal", "Of the true object's bounding box; thresholds in % are shares of it."),
    "area_predicted": Term("Area", "Of the reconstruction, in squared units."),
    "area_true": Term("True area", "Of the true surface, in squared units."),
    "volume_predicted": Term("Volume", f"Inside of the reconstruction, in cubed units; {_CLOSED}"),
    "volume_true": Term("True volume", f"Inside of the true surface, in cubed units; {_CLOSED}"),
    "watertight_predicted": Term("Watertight", "Whether the reconstruction has no holes."),
    "watertight_true": Term("Watertight, true surface", "Whether the true surface has no holes."),
    "rotation_error_mean_deg": Term("Camera rotation error", "Mean angle between estimated and true cameras after alignment.",
                                    "lower", _DEGREES, 3, headline=1),
    "rotation_error_median_deg": Term("Camera rotation error, median", _BETTER, "lower", _DEGREES, 3),
    "yaw": Term("Yaw", "Turn of the face; positive towards the picture's left.", "", _DEGREES, 0),
    "pitch": Term("Pitch", "Nod of the face.", "", _DEGREES, 0),
    "roll": Term("Roll", "Turn of the face in the picture.", "", _DEGREES, 0),
    "center_error_mean": Term("Camera position error", "Mean distance between estimated and true camera centres after "
                              "alignment.", "lower"),
    "center_error_median": Term("Camera position error, median", _BETTER, "lower"),
    "abs_rel": Term("Depth error, relative", "Mean error of rendered depth as a share of the true depth.", "lower", digits=1,
                    percent=True, headline=2),
    "abs_diff": Term("Depth error", "Mean absolute error of rendered depth.", "lower", "m"),
    "sq_rel": Term("Depth error, squared relative", "Mean of the squared error over the true depth.", "lower", "m"),
    "rmse": Term("Depth error, RMSE", "Root of the mean squared error of rendered depth.", "lower", "m"),
    "log_rmse": Term("Depth error, log RMSE", "Root of the mean squared error of the depth's logarithm.", "lower"),
    "r1": Term("Depth within 25 %", "Share of pixels whose depth is wrong by less than a factor of 1.25.", "higher",
               percent=True),
    "r2": Term("Depth within 56 %", "The same with a factor of 1.25 squared.", "higher", percent=True),
    "r3": Term("Depth within 95 %", "The same with a factor of 1.25 cubed.", "higher", percent=True),
    "complete": Term("Completeness of depth", "Share of pixels in which the reconstruction has a surface.", "higher",
                     percent=True),
    "rooms": Term("Rooms", "Number of rooms that the figures above are means of.", digits=0),
}  # yapf: disable
"""Terms by the name of a metric, without a threshold."""


def _head_terms() -> dict[str, Term]:
    """Metrics of the H3DS protocol, in millimetres: face or head, to vertices or surface, forward or reverse, mean, median."""
    parts = dict(face="Face error", head="Head error"), dict(face="face (95 mm around the nose)", head="head")
    targets = dict(vertices=("", "nearest vertex"), surface=(", to the surface", "surface"))
    terms = {}
    for part in parts[0]:
        for target, (suffix, words) in targets.items():
            label = parts[0][part] + suffix
            forth = f"Mean distance from the true {parts[1][part]} to the {words} of the aligned reconstruction."
            back = f"Mean distance from the reconstruction to the {words} of the true head."
            headline = 12 if (part, target) == ("face", "vertices") else 11 if target == "vertices" else 0
            key = f"{part}_{target}"
            terms[f"{key}_mean"] = Term(label, forth, "lower", "mm", 2, headline=headline)
            terms[f"{key}_median"] = Term(f"{label}, median", _MEDIAN, "lower", "mm", 2)
            terms[f"{key}_reverse_mean"] = Term(f"{label}, reverse", back, "lower", "mm", 2)
            terms[f"{key}_reverse_median"] = Term(f"{label}, reverse, median", _MEDIAN, "lower", "mm", 2)
    return terms


TERMS |= _head_terms()


def describe(metric: str) -> Term:
    """The term of a metric; its threshold follows an ``@``. Unknown names are kept."""
    name, _, threshold = metric.partition("@")
    if name not in TERMS:
        return Term(metric.replace("_", " "))
    return replace(TERMS[name], label=f"{TERMS[name].label} @ {threshold}") if threshold else TERMS[name]
