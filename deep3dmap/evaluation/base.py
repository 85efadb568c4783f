"""What a metric is: it looks at items beside their reconstructions, and gives figures by group."""

from collections.abc import Collection, Mapping

from deep3dmap.structures import Reconstruction


class Metric:
    """Base of the registered metrics. The evaluation shows it every item with its result; it takes those it can measure."""

    #: Names of figures of which the larger is the better one.
    higher_is_better: Collection[str] = ()

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Look at one result beside its item; returns the item's own figures, none where there is nothing to measure."""
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """Figures by group; groups without anything to say are left out."""
        return {}

    def notes(self) -> list[str]:
        """What the figures leave out, and why: a line each."""
        return []

    def files(self) -> dict[str, str]:
        """Further texts to write beside the figures, by file name."""
        return {}
