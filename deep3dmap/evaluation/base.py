"""The metric interface: compares items with their reconstructions, and returns values by group."""

from collections.abc import Collection, Mapping

from deep3dmap.structures import Reconstruction


class Metric:
    """Base of the registered metrics. The evaluation passes every item with its result; a metric uses those it can measure."""

    #: Names of values for which larger is better.
    higher_is_better: Collection[str] = ()
    #: Names of all values (up to an ``@``), to check ``val_cfg.best`` before training; None if they are not known in advance.
    names: Collection[str] | None = None

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Add one result with its item; returns the item's own values, empty if there is nothing to measure."""
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        """Values by group; empty groups are omitted."""
        return {}

    def notes(self) -> list[str]:
        """What was not measured, and why: one line each."""
        return []

    def files(self) -> dict[str, str]:
        """Additional text files to write with the metrics, by file name."""
        return {}
