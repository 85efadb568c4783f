"""Test data: views, items or clips, grouped into units that are distributed over processes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from torch.utils.data import DataLoader

from deep3dmap.datasets.kinds import ClipDataset, Dataset, ItemDataset, ViewDataset, check_kind
from deep3dmap.engine.batches import SeededItems, begin_worker, build_dataset, collate_function, errors_of_workers, step_seed
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import explained

#: A batch: its single items, and the collated input of the framework.
Batch = tuple[list[Mapping], Mapping]


class _SceneAndViews:
    """The whole scene, then its views: held-out ones first."""

    def __init__(self, views: ViewDataset, scale: float):
        self.views, self.scale = views, scale
        self.order = sorted(range(len(views)), key=lambda k: views.item_split(k) != "test")

    def __len__(self) -> int:
        return len(self.order) + 1

    def __getitem__(self, index: int) -> dict:
        return self.views.item(self.order[index - 1], self.scale) if index else self.views.scene_item()


class TestData:
    """The data of an evaluation.

    Args:
        dataset: dataset of views, or of items, which are not collated.
        loader: config of a dataloader for ``dataset``'s items (``batch_size``, ``num_workers``, ``collate_fn``).
        seed: seed of the items' randomness.
        scale: of views.

    Attributes:
        dataset: the data set.
        units: lists of batches, as indices of items, that one process handles in order: a single batch, or the clips of a
            whole sequence.
    """

    __test__ = False  # not a test, for pytest

    def __init__(self, dataset, loader: Mapping | None = None, seed: int = 0, scale: float = 1.0):
        self.dataset, self.loader, self.seed = dataset, dict(loader or {}), seed
        size = self.loader.pop("batch_size", 1)
        self._items = _SceneAndViews(dataset, scale) if isinstance(dataset, ViewDataset) else dataset
        collate = collate_function(self.loader.pop("collate_fn", None)) if loader is not None else None
        self._collate = partial(_paired, collate)
        if isinstance(dataset, ClipDataset):
            if size != 1:
                raise ConfigError(f"batch_size={size}: clips of a sequence are evaluated one by one; use 1")
            self.units = [[[index] for index in sequence] for sequence in dataset.sequences()]
        else:
            count = len(self._items)
            self.units = [[list(range(first, min(first + size, count)))] for first in range(0, count, size)]
        if not self.units:
            raise DataError(f"{type(dataset).__name__} is empty: there is nothing to evaluate")
        self._load([])  # validates the loader's settings now

    def info(self) -> dict:
        """Argument of the framework's ``setup``, if it was not trained in this run."""
        return self.dataset.info() if isinstance(self.dataset, Dataset) else {}

    @property
    def notes(self) -> list[str]:
        """The data set's notes."""
        return list(self.dataset.notes) if isinstance(self.dataset, Dataset) else []

    def batches(self, units: Sequence[int]) -> Iterator[Iterator[Batch]]:
        """The batches of each of the given units."""
        indices = [batch for unit in units for batch in self.units[unit]]
        keys = [[(step_seed(self.seed, 9, index), index) for index in batch] for batch in indices]
        stream = iter(self._load(keys))
        for unit in units:
            yield (self._next(stream) for _ in self.units[unit])

    def _next(self, stream: Iterator[Batch]) -> Batch:
        with errors_of_workers():
            return next(stream)

    def _load(self, keys: list[list[tuple[int, int]]]) -> DataLoader:
        settings = dict(worker_init_fn=begin_worker) | self.loader
        with explained("the dataloader of a test or a validation", self.loader):
            return DataLoader(SeededItems(self._items), batch_sampler=keys, collate_fn=self._collate, **settings)


def _paired(collate, items: list[Mapping]) -> Batch:
    return items, items[0] if collate is None else collate(items)


def build_test_data(place: str, dataset: Mapping | None, loader: Mapping | None, scene: Mapping | None, seed: int,
                    scale: float) -> TestData:  # yapf: disable
    """The data of a config's ``PLACE_dataset`` or ``PLACE_dataloader``.

    Raises:
        ConfigError: if there are none, or both.
    """
    if (dataset is None) == (loader is None):
        raise ConfigError(f"needs {place}_dataset or {place}_dataloader in the config" if dataset is
                          None else f"{place}_dataset and {place}_dataloader can't both be given")
    if loader is None:
        built = build_dataset(dataset, scene)
        check_kind(type(built), ViewDataset if isinstance(built, ViewDataset) else ItemDataset, f"{place}_dataset")
        return TestData(built, None, seed, scale)
    built = build_dataset(loader.get("dataset"), scene)
    check_kind(type(built), ItemDataset, f"{place}_dataloader.dataset")
    return TestData(built, {key: value for key, value in loader.items() if key != "dataset"}, seed, scale)
