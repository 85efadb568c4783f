"""The metrics of a report: name, unit, format, direction, and a one-line explanation each."""

import math
import re
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
        length: it is a length, in the data's own unit.
        headline: priority at the top of the page; 0 for never.
    """

    label: str
    means: str = ""
    better: str = ""
    unit: str = ""
    digits: int | None = None
    percent: bool = False
    length: bool = False
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

    def unit_of(self, lengths: str) -> str:
        """The unit of ``show``'s value, for lengths in ``lengths``."""
        return "%" if self.percent else lengths if self.length else self.unit


_MEDIAN = "Half of the points are nearer."
TERMS = {
    "(masked_)?psnr":
    Term("PSNR",
         "Similarity of rendering and photograph on the object. 20 dB is rough, 30 dB close, 40 dB hardly distinguishable.",
         "higher",
         "dB",
         2,
         headline=8),
    "(masked_)?ssim":
    Term("SSIM",
         "Similarity of local structure (edges, contrast) of rendering and photograph; 1 is equal.",
         "higher",
         digits=3,
         headline=5),
    "lpips":
    Term("LPIPS", "Perceptual difference by a trained network; 0 is equal.", "lower", digits=3),
    "(mask_)?iou":
    Term("Mask IoU",
         "Overlap of the mesh's silhouette with the object's mask: shared area over joint area; 1 is equal.",
         "higher",
         digits=3,
         headline=7),
    "(mask_)?iou_min":
    Term("Mask IoU, worst", "Of the view with the smallest overlap.", "higher", digits=3),
    "views":
    Term("Views", "Number of photographs that the figures above are means of.", digits=0),
    "distance_mean|mean_distance|chamfer(_distance)?":
    Term("Mean distance", "Between reconstructed and true surface, mean of both directions.", "lower", length=True,
         headline=9),
    "(distance_mean|mean_distance)_relative|.*of_diagonal":
    Term("Mean distance / diagonal",
         "Mean distance as a share of the true object's diagonal.",
         "lower",
         digits=2,
         percent=True,
         headline=10),
    "chamfer_squared":
    Term("Squared Chamfer distance", "Sum over both directions of the mean squared distance, in squared units.", "lower"),
    "point_chamfer_squared":
    Term("Squared Chamfer distance of points",
         "Sum over both directions of the mean squared distance between nearest drawn points, in squared units.", "lower"),
    "point_distance_mean":
    Term("Mean distance of points", "Between nearest drawn points, mean of both directions.", "lower", length=True),
    "emd":
    Term("Earth mover's distance", "Mean distance of points matched one to one.", "lower", length=True),
    "mesh_accuracy":
    Term("Mesh accuracy", "Distance from the true surface within which 90 % of the reconstruction lie.", "lower", length=True),
    "mesh_completion":
    Term("Mesh completion", "Share of the true surface within the distance of the reconstruction.", "higher", percent=True),
    "mesh_cosine_similarity":
    Term("Mesh cosine similarity",
         "Mean cosine between true normals and those of the reconstruction's nearest faces.",
         "higher",
         digits=3),
    "accuracy(_mean)?":
    Term("Accuracy", "Mean distance from the reconstruction to the true surface.", "lower", length=True, headline=4),
    "accuracy_median":
    Term("Accuracy, median", _MEDIAN, "lower", length=True),
    "completeness(_mean)?":
    Term("Completeness", "Mean distance from the true surface to the reconstruction.", "lower", length=True, headline=3),
    "completeness_median":
    Term("Completeness, median", _MEDIAN, "lower", length=True),
    "f_?(score|1)":
    Term("F-score",
         "Harmonic mean of precision and recall: both surfaces within the threshold of each other.",
         "higher",
         percent=True,
         headline=6),
    "precision":
    Term("Precision", "Share of the reconstruction within the threshold of the true surface.", "higher", percent=True),
    "recall":
    Term("Recall", "Share of the true surface within the threshold of the reconstruction.", "higher", percent=True),
    "normal_consistency":
    Term("Normal consistency",
         "Mean cosine between normals of nearest points on both surfaces; 1 is equal.",
         "higher",
         digits=3,
         headline=2),
    "true_diagonal":
    Term("True diagonal", "Of the true object's bounding box; thresholds in % are shares of it.", length=True),
    "area_predicted":
    Term("Area", "Of the reconstruction, in squared units."),
    "area_true":
    Term("True area", "Of the true surface, in squared units."),
    "volume_predicted":
    Term("Volume", "Inside of the reconstruction, in cubed units; none if it isn't closed."),
    "volume_true":
    Term("True volume", "Inside of the true surface, in cubed units; none if it isn't closed."),
    "watertight_predicted":
    Term("Closed", "Whether the reconstruction has no holes."),
    "watertight_true":
    Term("Truth closed", "Whether the true surface has no holes."),
    "rotation_error(_mean)?(_deg)?":
    Term("Camera rotation error",
         "Mean angle between estimated and true cameras after alignment.",
         "lower",
         "\N{DEGREE SIGN}",
         3,
         headline=1),
    "rotation_error_median(_deg)?":
    Term("Camera rotation error, median", "Half of the cameras are better.", "lower", "\N{DEGREE SIGN}", 3),
    "center_error(_mean)?":
    Term("Camera position error",
         "Mean distance between estimated and true camera centres after alignment.",
         "lower",
         length=True),
    "center_error_median":
    Term("Camera position error, median", "Half of the cameras are better.", "lower", length=True),
    "vertices":
    Term("Vertices", "Of the mesh.", digits=0),
    "faces|triangles":
    Term("Triangles", "Of the mesh.", digits=0),
}
"""Terms by the pattern that the whole name of a metric matches (lower case, ``_`` between words, without a threshold)."""


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
    """The term of a metric's name, in any spelling; its threshold follows an ``@``. Unknown names are kept."""
    base, _, threshold = metric.partition("@")
    key = re.sub(r"[^a-z0-9]+", "_", base.lower()).strip("_")
    for pattern, term in TERMS.items():
        if re.fullmatch(pattern, key):
            label = f"{term.label} @ {threshold.strip()}" if threshold else term.label
            return replace(term, label=label)
    return Term(metric.replace("_", " "))
