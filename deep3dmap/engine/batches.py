"""Where batches come from: a dataset that hands out whole batches, or a dataloader that makes them from items.

Either way the batch of a step is a function of the seed and the step alone, so a resumed run sees exactly what an
uninterrupted one would have seen.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from deep3dmap.errors import ConfigError
from deep3dmap.registry import DATASETS, accepted_keys, resolve


def step_seed(seed: int, *numbers: int) -> int:
    """A seed for one step (or rank, or epoch), well mixed."""
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


class BatchSource:
    """Batches of a stage, step by step.

    Args:
        dataset: object with ``batch(step, generator, rank, world) -> dict`` and ``len()`` = steps in an epoch, or None.
        dataloader: torch dataloader, used where ``dataset`` is None.
        seed: of the run.
        rank, world: this process and how many there are.
    """

    def __init__(self, dataset=None, dataloader: DataLoader | None = None, seed: int = 0, rank: int = 0, world: int = 1):
        if (dataset is None) == (dataloader is None):
            raise ConfigError("training needs either train_dataset (hands out whole batches) or train_dataloader, not "
                              f"{'both' if dataset is not None else 'neither'}")
        self.dataloader, self.seed, self.rank, self.world = dataloader, seed, rank, world
        self.whole_batches = dataset is not None
        self.dataset = dataset if self.whole_batches else dataloader.dataset

    def __len__(self) -> int:
        """Steps in an epoch."""
        return max(len(self.dataset if self.whole_batches else self.dataloader), 1)

    def info(self) -> Mapping:
        """What the dataset says of itself, for ``framework.setup``."""
        return self.dataset.info() if hasattr(self.dataset, "info") else {}

    def __call__(self, first_step: int) -> Iterator[dict]:
        """Batches from a step on, for ever."""
        return self._from_dataset(first_step) if self.whole_batches else self._from_loader(first_step)

    def _from_dataset(self, first_step: int) -> Iterator[dict]:
        generator = torch.Generator()
        for step in itertools.count(first_step):
            generator.manual_seed(step_seed(self.seed, 1, step))
            yield self.dataset.batch(step, generator, self.rank, self.world)

    def _from_loader(self, first_step: int) -> Iterator[dict]:
        first_epoch, skip = divmod(first_step, len(self))
        for epoch in itertools.count(first_epoch):
            for sampler in (self.dataloader.sampler, self.dataloader.batch_sampler):
                if hasattr(sampler, "set_epoch"):
                    sampler.set_epoch(epoch)
            if self.dataloader.generator is not None:
                self.dataloader.generator.manual_seed(step_seed(self.seed, 2, epoch))
            yield from itertools.islice(self.dataloader, skip if epoch == first_epoch else 0, None)


def build_dataset(cfg: Mapping, scene: Mapping | None = None):
    """A dataset from its config; one that wants a ``scene`` and names none gets the config's."""
    cfg = dict(cfg)
    accepted = accepted_keys(resolve(DATASETS, cfg["type"])) or ()
    if "scene" in accepted and "scene" not in cfg:
        if scene is None:
            raise ConfigError(f"{cfg['type']} needs a scene: give it one, or the config a top-level 'scene'")
        cfg["scene"] = scene
    return DATASETS.build(cfg)


def build_source(dataset: Mapping | None,
                 dataloader: Mapping | None,
                 scene: Mapping | None = None,
                 seed: int = 0,
                 rank: int = 0,
                 world: int = 1) -> BatchSource:
    """The batches that a config asks for by ``train_dataset`` or ``train_dataloader``."""
    built = None
    if dataloader is not None:
        dataloader = dict(dataloader)
        dataloader.setdefault("collate_fn", dict(type="default_collate"))
        dataloader.setdefault("sampler", dict(type="DefaultSampler", shuffle=True))
        dataloader["dataset"] = build_dataset(dataloader["dataset"], scene)
        dataloader.setdefault("generator", torch.Generator())
        built = Runner.build_dataloader(dataloader, seed=None if dataloader.get("num_workers") else seed)
    return BatchSource(build_dataset(dataset, scene) if dataset is not None else None, built, seed, rank, world)
