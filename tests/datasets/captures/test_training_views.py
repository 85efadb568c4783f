"""All training views in one batch."""

import pytest
import torch

from deep3dmap.datasets import TrainingViews
from tests.datasets.scenes import CENTER, write_sphere


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    """A sphere's five training views."""
    return TrainingViews(dict(capture=str(write_sphere(tmp_path_factory.mktemp("sphere") / "sphere"))))


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
