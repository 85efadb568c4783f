"""The four kinds of data sets, by what they provide; a class declares its kind by its base class.

| kind | provides | configured as |
| --- | --- | --- |
| :class:`BatchDataset` | whole batches by step, from data in memory | ``train_dataset`` |
| :class:`ItemDataset` | single items, transformed by a pipeline | ``*_dataloader.dataset``; one by one ``test_dataset`` |
| :class:`ClipDataset` | windows of sequences, in their order | ``*_dataloader.dataset`` |
| :class:`ViewDataset` | whole views of a scene, to render and to compare with | ``test_dataset``, ``val_dataset`` |
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Generator, Tensor

from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import TRANSFORMS


class Dataset(ABC):
    """The common interface of all kinds of data sets.

    Attributes:
        notes: what was left out of the data, and why; they appear among the notes of an evaluation.
    """

    notes: Sequence[str] = ()

    @abstractmethod
    def __len__(self) -> int:
        """Number of items; of a :class:`BatchDataset`, steps in an epoch."""

    def info(self) -> dict:
        """Information for the framework before training (``Framework.setup``): tensors and plain values."""
        return {}


class BatchDataset(Dataset):
    """Provides whole batches by step."""

    def set_seed(self, seed: int) -> None:
        """The seed of random choices that span several steps, such as the order of an epoch."""

    @abstractmethod
    def batch(self, step: int, generator: Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """The batch of a step of a stage.

        Args:
            step: of the stage, counted from 0.
            generator: of all randomness in the batch, in the same state in all processes.
            rank, world: index of this process and number of processes; each takes its share of the same batch.
        """


class ItemDataset(Dataset):
    """Provides single items: :meth:`load` reads one, the pipeline transforms it.

    Args:
        pipeline: configs of ``TRANSFORMS``, applied in sequence to the item's dictionary. mmcv's are available as
            ``mmcv.NAME``.
    """

    def __init__(self, pipeline: Sequence[Mapping] = ()):
        self.pipeline = [TRANSFORMS.build(dict(transform)) for transform in pipeline]

    @abstractmethod
    def load(self, index: int) -> dict:
        """An item as it is stored; ``name`` is its name in results (by default its index)."""

    def context(self, index: int) -> dict:
        """Further keys of an item, which the pipeline gets as well."""
        return {}

    def __getitem__(self, index: int) -> dict:
        """An item after the pipeline.

        Raises:
            DataError: if a transform drops the item.
        """
        item = {"name": f"{index:05d}"} | dict(self.load(index)) | self.context(index)
        for transform in self.pipeline:
            name, item = item["name"], transform(item)
            if item is None:
                raise DataError(f"{type(self).__name__}: {type(transform).__name__} dropped the item '{name}'; use transforms "
                                "that keep every item")
            item.setdefault("name", name)
        return item | dict(name=str(item["name"]))


class ClipDataset(ItemDataset):
    """Provides windows of sequences. Each has flags ``begins`` and ``ends``: whether it is a sequence's first or last.

    ``sequence_seed`` is for randomness that all windows of a sequence share in an epoch.
    """

    epoch_seed: int = 0

    @abstractmethod
    def sequences(self) -> Sequence[range]:
        """The windows of each sequence, in order."""

    def context(self, index: int) -> dict:
        """The window's flags, and the seed of its sequence."""
        sequence = next(s for s in self.sequences() if index in s)
        seed = np.random.SeedSequence([self.epoch_seed, sequence[0]]).generate_state(1)[0]
        return dict(begins=index == sequence[0], ends=index == sequence[-1], sequence_seed=int(seed))


class ViewDataset(Dataset):
    """Provides whole views of a scene.

    Attributes:
        left_out: number of views that the config omits.
    """

    left_out: int = 0

    @abstractmethod
    def item(self, index: int, scale: float = 1.0) -> dict:
        """A view with the inputs to render it, and its photograph (``rgb``, ``mask``, ``size``, ``name``, ``split``).

        Args:
            index: of the view.
            scale: of its pictures, relative to the photographs.
        """

    @abstractmethod
    def item_split(self, index: int) -> str:
        """``train`` or ``test``."""

    @abstractmethod
    def scene_item(self) -> dict:
        """The scene as a whole: its ``name``, and its true surface and cameras if known."""


#: Where a config has the data sets of each kind.
PLACES = {
    BatchDataset: "train_dataset",
    ViewDataset: "test_dataset or val_dataset",
    ClipDataset: "train_dataloader.dataset, or that of a test or validation",
    ItemDataset: "train_dataloader.dataset, or that of a test or validation",
}


def check_kind(dataset: Callable, kind: type, place: str) -> None:
    """Make sure that a class of data sets is of the kind that its place in a config asks for.

    Args:
        dataset: the class; a function, which a registry may hold too, is none.
        kind: one of the kinds; :class:`ItemDataset` accepts any class with items, torch's among them.
        place: in the config, for the message.

    Raises:
        ConfigError: naming the class, the place, and where it is allowed.
    """
    if not isinstance(dataset, type):
        raise ConfigError(f"{place}: {dataset.__name__} is not a data set")
    items = kind is ItemDataset and hasattr(dataset, "__getitem__") and not issubclass(dataset, (BatchDataset, ViewDataset))
    if not (issubclass(dataset, kind) or items):
        given = next((f"of the kind {k.__name__}, which goes into {where}"
                      for k, where in PLACES.items() if issubclass(dataset, k)), "of no kind of data set")
        raise ConfigError(
            f"{place}: {dataset.__name__} must be of the kind {kind.__name__} but is {given} (docs/architecture.md)")
