"""The registered metric of methods that reconstruct single shapes."""

from collections.abc import Mapping, Sequence

import trimesh

from deep3dmap.annotations import Whole
from deep3dmap.evaluation.base import Metric
from deep3dmap.evaluation.point_sets import EMD_POINTS, UNITS
from deep3dmap.evaluation.shape_tables import ShapeTable
from deep3dmap.evaluation.surfaces import HIGHER_IS_BETTER, NAMES
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.registry import METRICS
from deep3dmap.structures import Reconstruction

NAMED = 10  # maximum number of failures listed in notes


@METRICS.register_module()
class ShapeMetrics(Metric):
    """Metrics of reconstructed shapes against their true surfaces, in normalised units; see docs/evaluation.md.

    A shape's item holds its ``name``, its normalisation's ``scale``, and the true ``mesh`` (a path) or ``surface`` (points);
    a result its mesh, in the same frame. Writes ``shapes.csv``.

    Args:
        thresholds: distances for precision, recall and F-score, normalised units.
        emd_samples: points for the earth mover's distance; 0 to skip it.
    """

    higher_is_better = (*HIGHER_IS_BETTER, "mesh_completion", "mesh_cosine_similarity", "measured")
    names = (*NAMES, *UNITS, "mesh_accuracy", *higher_is_better, "failed")

    def __init__(self, thresholds: Sequence[float] = (0.01, ), emd_samples: Whole = EMD_POINTS):
        self.options = dict(thresholds=tuple(thresholds), relative_thresholds=(), emd_samples=emd_samples)
        self.table = ShapeTable()

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Measure one shape."""
        if "mesh" not in item and "surface" not in item:
            self.table.fail(item["name"], "its true surface is missing: neither a mesh nor points")
            return {}
        true = load_mesh(item["mesh"]) if "mesh" in item else item["surface"].numpy()
        mesh = result.mesh or trimesh.Trimesh()
        self.table.measure(item["name"], mesh, true, scale=item["scale"], **self.options)
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """Means and medians over the shapes, and the number of failures."""
        summary = self.table.summary()
        groups = {statistic: {key: values[statistic] for key, values in summary.items()} for statistic in ("mean", "median")}
        counts = dict(measured=len(self.table.figures), failed=len(self.table.failures))
        return {name: group for name, group in groups.items() if group} | {"shapes": counts}

    def notes(self) -> list[str]:
        """The first shapes that failed, by name."""
        failures = self.table.failures
        if not failures:
            return []
        more = len(failures) - NAMED
        return [f"{len(failures)} of {len(self.table.figures) + len(failures)} shapes failed:",
                *(f"  {name}: {reason}" for name, reason in list(failures.items())[:NAMED]),
                *([f"  and {more} more, see shapes.csv"] if more > 0 else [])]  # yapf: disable

    def files(self) -> dict[str, str]:
        """``shapes.csv``: one row per shape."""
        return {"shapes.csv": self.table.to_csv()}
