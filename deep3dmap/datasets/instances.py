"""Single items of a data set, for methods that are trained on one instance."""

from collections.abc import Mapping

from mmengine.dataset import default_collate
from torch import Generator

from deep3dmap.annotations import Whole
from deep3dmap.datasets.kinds import BatchDataset, ItemDataset, check_kind
from deep3dmap.errors import DataError
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class OneItem(ItemDataset):
    """One of another data set's items.

    Args:
        dataset: the data set, or its config.
        index: of the item.

    Raises:
        ConfigError: if the other is not a data set of items.
        DataError: if it has no such item.
    """

    def __init__(self, dataset: Mapping | ItemDataset, index: Whole):
        super().__init__()
        self.items, self.index = DATASETS.build(dict(dataset)) if isinstance(dataset, Mapping) else dataset, index
        check_kind(type(self.items), ItemDataset, "instances.dataset")
        self.notes = self.items.notes
        if index >= len(self.items):
            raise DataError(f"{type(self.items).__name__}: there is no item {index}, only {len(self.items)}")

    def __len__(self) -> int:
        return 1

    def info(self) -> dict:
        """That of the other data set."""
        return self.items.info()

    def load(self, index: int) -> dict:
        """The item."""
        return self.items[self.index]


@DATASETS.register_module()
class OneItemBatches(BatchDataset):
    """The same item at every step, as a batch of one; its pipeline runs once.

    Args:
        dataset, index: as for :class:`OneItem`.
    """

    def __init__(self, dataset: Mapping, index: Whole):
        self.one = OneItem(dataset, index)
        self.item = self.one[0]

    def __len__(self) -> int:
        return 1

    def info(self) -> dict:
        """That of the other data set."""
        return self.one.info()

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict:
        """The item, whatever the step and the process."""
        return default_collate([self.item])
