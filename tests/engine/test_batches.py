"""The batch of a step is a function of the seed and the step alone."""

import itertools
import random

import numpy as np
import pytest
import torch
from torch.utils.data import RandomSampler

from deep3dmap.engine.batches import BatchSource, build_dataset, build_loader, build_source, step_seed
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class Draws:
    """Items that draw from every generator there is, and count how many were made."""

    made = 0

    def __init__(self, count: int = 7):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict:
        Draws.made += 1
        return dict(index=index, draws=torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()]))


def take(source: BatchSource, first: int, count: int) -> list[dict]:
    return list(itertools.islice(source(first), count))


def same(a: list[dict], b: list[dict]) -> bool:
    return len(a) == len(b) and all(torch.equal(x[k], y[k]) for x, y in zip(a, b) for k in x)


def items(seed: int = 0, rank: int = 0, world: int = 1, **loader) -> BatchSource:
    return build_source(None, dict(dataset=dict(type="Draws"), **loader), seed=seed, rank=rank, world=world)


LOADERS = [dict(batch_size=2), dict(batch_size=3, drop_last=True), dict(batch_size=2, num_workers=2)]


@pytest.mark.parametrize("loader", LOADERS)
def test_batches_from_any_step_on_are_those_of_an_uninterrupted_run(loader):
    whole = take(items(**loader), 0, 9)
    for first in (1, 3, 4, 6):
        torch.manual_seed(first)  # whatever was drawn before
        assert same(take(items(**loader), first, 9 - first), whole[first:])


def test_workers_make_the_same_items():
    assert same(take(items(batch_size=2, num_workers=2), 0, 5), take(items(batch_size=2), 0, 5))


def test_items_that_are_behind_are_not_made_again():
    before = Draws.made
    take(items(batch_size=2), 2, 1)
    assert Draws.made - before == 2


def test_an_epoch_has_every_item_once_in_an_order_of_its_own_and_random_anew():
    source = items(batch_size=2)
    epochs = [torch.cat([b["index"] for b in take(source, 4 * k, 4)]).tolist() for k in range(2)]
    assert [sorted(e) for e in epochs] == [list(range(7))] * 2 and epochs[0] != epochs[1]
    draws = [torch.cat([b["draws"][b["index"] == 3] for b in take(items(batch_size=2), 4 * k, 4)]) for k in range(2)]
    assert (draws[0] != draws[1]).all()


def test_another_seed_gives_another_order_and_other_draws():
    a, b = take(items(batch_size=7), 0, 1)[0], take(items(seed=1, batch_size=7), 0, 1)[0]
    assert not torch.equal(a["index"], b["index"]) and not torch.equal(a["draws"], b["draws"])


def test_samplers_without_a_generator_of_their_own_are_seeded_too():
    sampler = dict(sampler=dict(type=RandomSampler, data_source=range(7)))
    whole = take(items(batch_size=2, **sampler), 0, 8)
    torch.manual_seed(7)
    assert same(take(items(batch_size=2, **sampler), 5, 3), whole[5:])


def test_the_shares_of_several_processes_make_up_the_global_batch():
    whole = build_source(dict(type="LineBatches"), None, seed=3)
    shares = [build_source(dict(type="LineBatches"), None, seed=3, rank=r, world=2) for r in range(2)]
    for step in range(3):
        both = torch.stack([take(s, step, 1)[0]["height"] for s in shares], 1).flatten()
        assert torch.equal(both, take(whole, step, 1)[0]["height"])


def test_a_process_without_a_share_of_the_batch_is_told():
    source = build_source(dict(type="LineBatches"), None, rank=99, world=100)
    with pytest.raises(DataError, match="LineBatches: process 100 of 100 got no part of a batch: start fewer processes"):
        next(source(0))


def test_whole_batches_depend_on_the_step_and_the_seed():

    def height(seed, step):
        return take(build_source(dict(type="LineBatches"), None, seed=seed), step, 1)[0]["height"]

    assert torch.equal(height(0, 2), height(0, 2))
    assert not torch.equal(height(0, 2), height(0, 3)) and not torch.equal(height(0, 2), height(1, 2))


def test_seeds_of_neighbouring_steps_are_far_apart():
    seeds = {step_seed(0, 1, step) for step in range(1000)} | {step_seed(1, 1, step) for step in range(1000)}
    assert len(seeds) == 2000


@pytest.mark.parametrize("call, message", [
    (BatchSource, "not neither"),
    (lambda: BatchSource(dataset=Draws(), dataloader=build_loader(dict(dataset=dict(type="Draws")))), "not both"),
    (lambda: build_loader(dict(dataset=None)), "a dataset is a dictionary with a 'type'"),
    (lambda: build_loader(dict(dataset=dict(count=3))), "a dataset is a dictionary with a 'type'"),
    (lambda: build_dataset(dict(type="RayBatches")), "RayBatches needs a scene: .*top-level 'scene'"),
])
def test_a_source_needs_one_dataset_of_a_type_and_its_scene(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_a_collate_function_is_named_in_the_config():
    loader = dict(dataset=dict(type="Draws"), batch_size=2, collate_fn=dict(type="pseudo_collate"))
    assert isinstance(take(build_source(None, loader), 0, 1)[0]["draws"], list)
    with pytest.raises(ConfigError, match="type='pseudo_colate' is not in the registry 'function'"):
        build_source(None, loader | dict(collate_fn=dict(type="pseudo_colate")))
