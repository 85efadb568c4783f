"""Sources of batches: a dataset of whole batches, or a dataloader over items.

In both cases a step's batch is a function of seed, stage and step alone, so a resumed run gets the same batches as an
uninterrupted one, with any number of workers.
"""

import itertools
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATA_SAMPLERS, FUNCTIONS
from torch.utils.data import BatchSampler, DataLoader, Dataset

from deep3dmap.datasets.kinds import BatchDataset, ClipDataset, ItemDataset, check_kind
from deep3dmap.datasets.kinds import Dataset as KnownDataset
from deep3dmap.errors import ConfigError, DataError, Deep3DError
from deep3dmap.registry import DATASETS, accepted_keys, explained, resolve


def step_seed(seed: int, *numbers: int) -> int:
    """A well-mixed seed for one step (or rank, or epoch)."""
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


def seed_cpu(seed: int) -> None:
    """Seed Python, NumPy and torch's CPU generator.

    ``torch.manual_seed`` takes 100 times as long, because it queries every type of device.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    seed_cpu(seed)
    if torch.accelerator.is_available():
        torch.manual_seed(seed)


class SeededItems(Dataset):
    """A dataset indexed by (seed, index), so that an item's randomness depends on the seed alone, not on the worker.

    Clips are indexed by (seed, index, seed of the epoch).
    """

    def __init__(self, items):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: tuple[int, ...]):
        seed, index, *epoch = key
        seed_cpu(seed)
        if isinstance(self.items, ClipDataset):
            self.items.epoch_seed = epoch[0] if epoch else 0
        try:
            return self.items[index]
        except Deep3DError:
            raise
        except Exception as error:  # whatever goes wrong in an author's code
            raise DataError(f"{type(self.items).__name__}: item {index}: {type(error).__name__}: {error} (--traceback shows "
                            "where)") from error


@contextmanager
def errors_of_workers() -> Iterator[None]:
    """Errors of our own from a worker process have their own text again; torch puts the worker's traceback around it."""
    try:
        yield
    except Deep3DError as error:
        kind, text = type(error), str(error)
        if text.startswith("Caught "):
            raise kind(text.rpartition(f"{kind.__name__}: ")[2].strip()) from None
        raise


class SeededBatches:
    """A batch sampler for :class:`SeededItems` that can start anywhere in an epoch, without loading the items before.

    Args:
        batches: the underlying batch sampler.
        seed: of the run.
        rank, world: rank and number of processes; an item's seed depends on its position in the global batch.
    """

    def __init__(self, batches, seed: int, rank: int, world: int):
        self.batches, self.seed, self.rank, self.world = batches, seed, rank, world
        self.stage, self.epoch, self.skip = 0, 0, 0

    def __len__(self) -> int:
        return len(self.batches)

    def begin(self, epoch: int, skip: int, stage: int = 0) -> None:
        """Set the next epoch, and how many of its batches to skip."""
        self.stage, self.epoch, self.skip = stage, epoch, skip
        for sampler in (getattr(self.batches, "sampler", None), self.batches):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch + 1_000_003 * stage)  # another order in every epoch of every stage

    def _seed(self, *numbers: int) -> int:
        return step_seed(self.seed, 2, self.stage, self.epoch, *numbers)

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        seed_everything(self._seed())  # for samplers without a generator
        order = list(itertools.islice(self.batches, len(self)))
        place = sum(len(batch) for batch in order[:self.skip])
        for batch in order[self.skip:]:
            places = range(place, place + len(batch))
            yield [(self._seed(k * self.world + self.rank), i, self._seed()) for k, i in zip(places, batch)]
            place += len(batch)


class ClipBatches:
    """A batch sampler of clips that keeps their order: a batch of size n holds the next clip of each of n sequences.

    The sequences are distributed over the slots of the batches of all processes. A slot that finishes its sequences before the
    others in an epoch repeats them, so that all batches are full.

    Args:
        sequences: the clips of each sequence, in order.
        size: batch size of each process.
        shuffle: shuffle the sequences of each slot in every epoch.
        seed: seed of the shuffling.
        rank, world: rank and number of processes.
    """

    def __init__(self, sequences: Sequence[range], size: int, shuffle: bool, seed: int, rank: int, world: int):
        self.shuffle, self.seed, self.rank, self.world, self.epoch = shuffle, seed, rank, world, 0
        if len(sequences) < size * world:
            raise DataError(f"{len(sequences)} sequences don't fill batches of {size} clips in each of {world} processes; "
                            "reduce the batch size")
        self.streams: list[list[range]] = [[] for _ in range(size * world)]
        for sequence in sorted(sequences, key=len, reverse=True):
            min(self.streams, key=_clips).append(sequence)

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return max(map(_clips, self.streams))

    def __iter__(self) -> Iterator[list[int]]:
        mine = [self._ordered(k) for k in range(self.rank, len(self.streams), self.world)]
        for step in range(len(self)):
            yield [stream[step % len(stream)] for stream in mine]

    def _ordered(self, number: int) -> list[int]:
        """The clips of one slot in an epoch."""
        sequences = sorted(self.streams[number], key=lambda sequence: sequence[0])
        generator = torch.Generator().manual_seed(step_seed(self.seed, 10, self.epoch, number))
        order = torch.randperm(len(sequences), generator=generator).tolist() if self.shuffle else range(len(sequences))
        return [clip for k in order for clip in sequences[k]]


def _clips(sequences: Sequence[range]) -> int:
    return sum(map(len, sequences))


class BatchSource:
    """Batches of a stage, step by step.

    Args:
        dataset: a :class:`deep3dmap.datasets.kinds.BatchDataset`, or None.
        dataloader: over :class:`SeededItems` with :class:`SeededBatches`, used where ``dataset`` is None.
        seed: of the run.
        rank, world: rank and number of processes.
    """

    def __init__(self, dataset=None, dataloader: DataLoader | None = None, seed: int = 0, rank: int = 0, world: int = 1):
        if (dataset is None) == (dataloader is None):
            raise ConfigError("training needs either train_dataset (whole batches) or train_dataloader, not "
                              f"{'both' if dataset is not None else 'neither'}")
        self.dataloader, self.seed, self.rank, self.world = dataloader, seed, rank, world
        self.whole_batches = dataset is not None
        self.dataset = dataset if self.whole_batches else dataloader.dataset.items
        if self.whole_batches:
            dataset.set_seed(step_seed(seed, 8))
        if not len(self):
            raise DataError(f"{type(self.dataset).__name__} has no batch ({len(self.dataset)} entries)")

    def __len__(self) -> int:
        """Steps in an epoch."""
        return len(self.dataset if self.whole_batches else self.dataloader)

    def info(self) -> Mapping:
        """The dataset's ``info``, for ``framework.setup``."""
        return self.dataset.info() if isinstance(self.dataset, KnownDataset) else {}

    def __call__(self, first_step: int, stage: int = 0) -> Iterator[dict]:
        """Endless iterator over batches, starting at a step of a stage."""
        return self._from_dataset(first_step, stage) if self.whole_batches else self._from_loader(first_step, stage)

    def close(self) -> None:
        """Shut down persistent workers; garbage collection can take 5 seconds per worker."""
        if self.dataloader is not None:
            self.dataloader._iterator = None

    def _from_dataset(self, first_step: int, stage: int) -> Iterator[dict]:
        generator = torch.Generator()
        for step in itertools.count(first_step):
            generator.manual_seed(step_seed(self.seed, 1, stage, step))
            batch = self.dataset.batch(step, generator, self.rank, self.world)
            if self.world > 1:
                self._check_share(batch)
            yield batch

    def _check_share(self, batch: Mapping) -> None:
        sizes = [len(value) for value in batch.values() if isinstance(value, torch.Tensor) and value.ndim]
        if sizes and not any(sizes):
            raise DataError(f"{type(self.dataset).__name__}: process {self.rank + 1} of {self.world} got no part of a batch: "
                            "start fewer processes, or increase the batch size")

    def _from_loader(self, first_step: int, stage: int) -> Iterator[dict]:
        first_epoch, skip = divmod(first_step, len(self))
        for epoch in itertools.count(first_epoch):
            self.dataloader.batch_sampler.begin(epoch, skip if epoch == first_epoch else 0, stage)
            with errors_of_workers():
                yield from self.dataloader


def build_dataset(cfg: object, scene: Mapping | None = None):
    """Build a dataset from its config; one that takes a ``scene`` and has none gets the config's.

    Raises:
        ConfigError: if it has no ``type``, or needs a scene and has none.
    """
    if not isinstance(cfg, Mapping) or "type" not in cfg:
        raise ConfigError(f"a dataset is a dictionary with a 'type', got {cfg!r}")
    cfg = dict(cfg)
    accepted = accepted_keys(resolve(DATASETS, cfg["type"])) or ()
    if "scene" in accepted and "scene" not in cfg:
        if scene is None:
            raise ConfigError(f"{cfg['type']} needs a scene: set its 'scene', or the config's top-level 'scene'")
        cfg["scene"] = scene
    return DATASETS.build(cfg)


def build_loader(cfg: Mapping, scene: Mapping | None = None, seed: int = 0, rank: int = 0, world: int = 1) -> DataLoader:
    """A dataloader from its config: ``dataset``, ``sampler`` (or ``shuffle``, True by default), ``batch_sampler``,
    ``batch_size`` (of each process), ``collate_fn`` (stacks by default), and torch's other arguments. Clips keep their
    sequences' order unless a sampler is given.

    Raises:
        ConfigError: if it has no dataset.
        DataError: if the dataset is empty.
    """
    cfg = dict(cfg)
    dataset = build_dataset(cfg.pop("dataset", None), scene)
    check_kind(type(dataset), ItemDataset, "train_dataloader.dataset")
    if not len(dataset):
        raise DataError(f"{type(dataset).__name__} is empty")
    size, shuffle = cfg.pop("batch_size", 1), cfg.pop("shuffle", True)
    if isinstance(dataset, ClipDataset) and not {"sampler", "batch_sampler"} & set(cfg):
        batches = ClipBatches(dataset.sequences(), size, shuffle, seed, rank, world)
    else:
        sampler = cfg.pop("sampler", None) or dict(type="DefaultSampler", shuffle=shuffle)
        sampler = _build_sampler(sampler, dataset=dataset, seed=seed)
        given = dict(sampler=sampler, batch_size=size, drop_last=cfg.pop("drop_last", False))
        batches = _build_sampler(cfg.pop("batch_sampler", None) or dict(type=BatchSampler), **given)
    cfg["collate_fn"] = collate_function(cfg.get("collate_fn"))
    cfg["worker_init_fn"] = partial(begin_worker, then=_function(cfg.get("worker_init_fn")))
    with explained("train_dataloader", cfg):
        seeded = SeededBatches(batches, seed, rank, world)
        return DataLoader(SeededItems(dataset), batch_sampler=seeded, generator=torch.Generator(), **cfg)


def begin_worker(number: int, then: Callable | None = None) -> None:
    """Ignore Ctrl-C in workers, so that the current step can finish; the main process stops them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if then is not None:
        then(number)


def collate_function(cfg: Mapping | Callable | None) -> Callable:
    """The function that collates items to a batch; stacks by default."""
    return default_collate if cfg is None else _function(cfg)


def _function(cfg: Mapping | Callable | None) -> Callable | None:
    """A registered function, partially applied."""
    if not isinstance(cfg, Mapping):
        return cfg
    return partial(resolve(FUNCTIONS, cfg["type"]), **{k: v for k, v in cfg.items() if k != "type"})


def _build_sampler(cfg: Mapping, **given):
    accepted = accepted_keys(resolve(DATA_SAMPLERS, cfg["type"]))
    return DATA_SAMPLERS.build(dict({k: v for k, v in given.items() if accepted is None or k in accepted}, **cfg))


def build_source(dataset: Mapping | None,
                 dataloader: Mapping | None,
                 scene: Mapping | None = None,
                 seed: int = 0,
                 rank: int = 0,
                 world: int = 1) -> BatchSource:
    """The batches of a config's ``train_dataset`` or ``train_dataloader``."""
    loader = None if dataloader is None else build_loader(dataloader, scene, seed, rank, world)
    built = None if dataset is None else build_dataset(dataset, scene)
    if built is not None:
        check_kind(type(built), BatchDataset, "train_dataset")
    return BatchSource(built, loader, seed, rank, world)
