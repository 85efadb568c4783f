"""Single items of a data set, for methods that are trained on one instance, or on many in turn."""

from collections.abc import Iterator, Mapping

from mmengine.dataset import default_collate
from torch import Generator, randperm

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


@DATASETS.register_module()
class EachItemBatches(BatchDataset):
    """One item at a step, as a batch of one, in an order that is new in each pass through them.

    Of several processes each has a fixed share of the items, every n-th, so what a method keeps of an item is in one process.

    Args:
        dataset: config of the data set of items.

    Raises:
        ConfigError: if it is not a data set of items.
        DataError: if two items have the same name; when a batch is asked for, if there are more processes than items.
    """

    def __init__(self, dataset: Mapping):
        self.items, self.seed = DATASETS.build(dict(dataset)), 0
        check_kind(type(self.items), ItemDataset, "train_dataset.dataset")
        self.names = [str(self.items[k]["name"]) for k in range(len(self.items))]
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise DataError(f"{type(self.items).__name__}: several items are named '{twice[0]}'; rename all but one")

    def __len__(self) -> int:
        """Items, which are the steps in a pass of a single process."""
        return len(self.items)

    def info(self) -> dict:
        """That of the other data set, and the ``names`` of its items."""
        return self.items.info() | dict(names=self.names)

    def set_seed(self, seed: int) -> None:
        """Seed of the orders."""
        self.seed = seed

    def share(self, rank: int = 0, world: int = 1) -> Iterator[dict]:
        """The batches of a process in the order of its items."""
        return (default_collate([self.items[k]]) for k in range(rank, len(self), world))

    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict:
        """The batch of a step of a process."""
        own = range(rank, len(self), world)
        if not own:
            raise DataError(
                f"{type(self.items).__name__}: {len(self)} items can't be shared by {world} processes; start fewer")
        turn, place = divmod(step, len(own))
        order = randperm(len(own), generator=Generator().manual_seed(self.seed + turn))
        return default_collate([self.items[own[int(order[place])]]])
