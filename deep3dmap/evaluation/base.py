"""What a metric is: it looks at predicted views and at the mesh, and gives figures by group."""

from collections.abc import Mapping

import trimesh


class Metric:
    """Base of the registered metrics. A test loop shows it every view, then the framework, the mesh and the scene."""

    def add_view(self, item: Mapping, prediction: Mapping) -> dict[str, float]:
        """Look at one rendered view beside its photograph; returns the view's own figures."""
        return {}

    def add_scene(self, framework, mesh: trimesh.Trimesh | None, dataset) -> None:
        """Look at the whole result; ``mesh`` is in the world's frame and units."""

    def compute(self) -> dict[str, dict[str, float]]:
        """Figures by group; groups without anything to say are left out."""
        return {}

    def notes(self) -> list[str]:
        """What the figures leave out, and why: a line each."""
        return []

    def files(self) -> dict[str, str]:
        """Further texts to write beside the figures, by file name."""
        return {}
