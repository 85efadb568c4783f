"""Whole training views: all in one batch, or some at a time."""

import pytest
import torch

from deep3dmap.datasets import TrainingViews
from deep3dmap.errors import ConfigError
from tests.datasets.scenes import CENTER, write_sphere


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A sphere with five training views."""
    return dict(capture=str(write_sphere(tmp_path_factory.mktemp("sphere") / "sphere")))


@pytest.fixture(scope="module")
def views(scene):
    return TrainingViews(scene)


def test_a_batch_holds_every_training_view_in_the_scenes_frame(views):
    train, batch = views.scene.train, views.batch(0, torch.Generator())
    assert len(views) == 1 and len(batch["images"]) == 5
    assert torch.equal(batch["images"], train.images) and torch.equal(batch["masks"], train.masks)
    middle = train.scene_from_world @ torch.tensor([*CENTER, 1.0]).double()  # of the sphere
    x = batch["projections"] @ middle
    pixel = (x[:, :2] / x[:, 2:]).floor().long()
    assert batch["masks"][torch.arange(5), pixel[:, 1], pixel[:, 0]].all()
    own = torch.cat([batch["centers"], torch.ones(5, 1)], 1).to(x)
    assert (batch["projections"] @ own[..., None]).abs().max() < 1e-6  # a camera's own centre has no picture


def test_every_process_gets_all_of_it(views):
    batches = [views.batch(step, torch.Generator(), rank, 2) for step, rank in ((0, 0), (3, 1))]
    assert all(torch.equal(a, b) for a, b in zip(*(batch.values() for batch in batches)))


def test_the_framework_gets_the_scenes_frame(views):
    assert torch.equal(views.info()["scene_from_world"], views.scene.train.scene_from_world) and views.info()["masks"]


@pytest.fixture(scope="module")
def pairs(scene):
    """Two of the five views at a time."""
    some = TrainingViews(scene, views=2)
    some.set_seed(3)
    return some


def test_an_epoch_shows_a_view_at_most_once_in_another_order_each_time(pairs):
    epochs = [
        torch.cat([pairs.batch(step, torch.Generator())["view"] for step in range(first, first + 2)]) for first in (0, 2, 4)
    ]
    assert len(pairs) == 2 and all(len(epoch.unique()) == 4 for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1


def test_processes_share_the_views_of_a_batch(pairs):
    whole = pairs.batch(1, torch.Generator())
    for rank in (0, 1):
        share = pairs.batch(1, torch.Generator(), rank, 2)
        assert all(torch.equal(share[key], whole[key][rank::2]) for key in whole)


def test_more_processes_than_views_are_refused(pairs):
    with pytest.raises(ConfigError, match="views=2"):
        pairs.batch(0, torch.Generator(), 0, 3)
