"""What the figures of a report mean: name, unit, format, which way is better, and one line of explanation each."""

import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """How a figure is shown.

    Attributes:
        label: its name in a table.
        means: one line for a reader who doesn't know it.
        better: "higher", "lower" or "".
        unit: written after the value.
        digits: after the decimal point, or None for three significant ones.
        percent: the value is a share of 1, shown in per cent.
        length: it is a length, in the data's own unit.
        headline: the larger, the more it belongs on top of the page; 0 never.
    """

    label: str
    means: str = ""
    better: str = ""
    unit: str = ""
    digits: int | None = None
    percent: bool = False
    length: bool = False
    headline: int = 0

    def show(self, value: float) -> str:
        """The value without its unit."""
        if not math.isfinite(value):
            return "\N{EN DASH}" if math.isnan(value) else "\N{INFINITY}"
        if self.percent:
            return f"{100 * value:.{1 if self.digits is None else self.digits}f}"
        if self.digits is not None:
            return f"{value:.{self.digits}f}"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    def unit_of(self, lengths: str) -> str:
        """The unit after ``show``'s value, where lengths are in ``lengths``."""
        return "%" if self.percent else lengths if self.length else self.unit


TERMS = [
    (r"(masked_)?psnr",
     Term("PSNR",
          "Likeness of rendering and photograph on the object. 20 dB is rough, 30 dB close, 40 dB hard to tell apart.",
          "higher",
          "dB",
          2,
          headline=8)),
    (r"(masked_)?ssim",
     Term("SSIM",
          "Likeness of local structure (edges, contrast) of rendering and photograph; 1 is equal.",
          "higher",
          "",
          3,
          headline=5)),
    (r"lpips", Term("LPIPS", "Difference as a trained network sees it; 0 is equal.", "lower", "", 3)),
    (r"(mask_|silhouette_)?iou",
     Term("Mask IoU",
          "Overlap of the mesh's silhouette with the object's mask: shared area over joint area; 1 is equal.",
          "higher",
          "",
          3,
          headline=7)),
    (r"(symmetric|mean|chamfer)(_(mean_)?distance)?(_l1)?|chamfer",
     Term("Mean distance",
          "Between reconstructed and true surface, mean of both directions.",
          "lower",
          length=True,
          headline=9)),
    (r".*(of|per|over)_diagonal.*",
     Term("Distance / diagonal",
          "Mean distance to the true surface as a share of the object's diagonal.",
          "lower",
          "%",
          2,
          percent=True,
          headline=10)),
    (r"accuracy|pred(icted)?_to_(gt|true|truth)",
     Term("Accuracy", "Mean distance from the reconstruction to the true surface.", "lower", length=True, headline=4)),
    (r"completeness|(gt|true|truth)_to_pred(icted)?",
     Term("Completeness", "Mean distance from the true surface to the reconstruction.", "lower", length=True, headline=3)),
    (r"f_?(score|1)?",
     Term("F-score",
          "Share of both surfaces that lie within the threshold of each other (harmonic mean).",
          "higher",
          percent=True,
          headline=6)),
    (r"precision",
     Term("Precision", "Share of the reconstruction within the threshold of the true surface.", "higher", percent=True)),
    (r"recall", Term("Recall", "Share of the true surface within the threshold of the reconstruction.", "higher",
                     percent=True)),
    (r"normal_consistency",
     Term("Normal consistency",
          "Mean cosine between normals of nearest points on both surfaces; 1 is equal.",
          "higher",
          "",
          3,
          headline=2)),
    (r"(camera_)?rotation(_error)?(_deg(rees)?)?",
     Term("Camera rotation", "Mean angle between estimated and true cameras after alignment.", "lower", "\N{DEGREE SIGN}", 3)),
    (r"(camera_)?(translation|position|center)(_error)?",
     Term("Camera position", "Mean distance between estimated and true camera centres after alignment.", "lower",
          length=True)),
    (r"depth(_l1|_error)?", Term("Depth error", "Mean difference of rendered and true depth.", "lower", length=True)),
    (r"(mesh_)?vertices", Term("Vertices", "Of the mesh.", digits=0)),
    (r"(mesh_)?(faces|triangles)", Term("Triangles", "Of the mesh.", digits=0)),
]


def describe(metric: str) -> Term:
    """The term of a metric's name, however it is spelled; its threshold stands after an ``@``. Unknown names stay."""
    base, _, threshold = metric.partition("@")
    key = re.sub(r"[^a-z0-9]+", "_", base.lower()).strip("_")
    for pattern, term in TERMS:
        if re.fullmatch(pattern, key):
            label = f"{term.label} @ {threshold.strip()}" if threshold else term.label
            return Term(**{**term.__dict__, "label": label})
    return Term(metric.replace("_", " "))
