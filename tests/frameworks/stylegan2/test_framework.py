"""StyleGAN2's training steps."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from deep3dmap.registry import FRAMEWORKS

WIDTH = dict(size=16, width=8 / 512)
OPTIONS = dict(type="StyleGAN2", generator=dict(type="StyleGenerator", style=8, mapping=2, **WIDTH),
               discriminator=dict(type="StyleDiscriminator", **WIDTH), r1_every=2, path_every=3)  # yapf: disable


@pytest.fixture
def gan():
    torch.manual_seed(0)
    return FRAMEWORKS.build(dict(OPTIONS))


@pytest.fixture
def optimizers(gan) -> OptimWrapperDict:
    return OptimWrapperDict(**{part: OptimWrapper(torch.optim.Adam(getattr(gan, part).parameters(), 2e-3, (0.0, 0.99)))
                               for part in ("generator", "discriminator")})  # yapf: disable


def batch() -> dict:
    return dict(images=torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8))


def weights(module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_regularisation_is_due_in_its_steps_only(gan, optimizers):
    values = [gan.train_step(batch(), optimizers) for _ in range(4)]
    assert ["r1" in each for each in values] == [True, False, True, False]
    assert ["path_length" in each for each in values] == [True, False, False, True]
    assert all(value.isfinite() for each in values for value in each.values()) and gan.path_mean > 0


def test_each_network_is_trained_by_its_own_step(gan, optimizers):
    before = weights(gan.generator), weights(gan.discriminator)
    gan._generator_step(4, optimizers["generator"])
    assert torch.equal(weights(gan.discriminator), before[1]) and not torch.equal(weights(gan.generator), before[0])
    middle = weights(gan.generator)
    gan._critic_step(batch()["images"] / 127.5 - 1, optimizers["discriminator"])
    assert torch.equal(weights(gan.generator), middle) and not torch.equal(weights(gan.discriminator), before[1])


def test_the_critics_step_does_not_depend_on_the_generators_before(gan, optimizers):
    real, steps = batch()["images"] / 127.5 - 1, []
    start = {name: value.clone() for name, value in gan.state_dict().items()}
    for pollute in (False, True):
        gan.load_state_dict(start)
        if pollute:
            for parameter in gan.discriminator.parameters():
                parameter.grad = torch.ones_like(parameter)
        torch.manual_seed(1)
        optimizers["discriminator"].optimizer.state.clear()
        gan._critic_step(real, optimizers["discriminator"])
        steps.append(weights(gan.discriminator))
    assert torch.equal(*steps)


@torch.no_grad()
def test_mixed_pictures_have_two_styles(gan):
    gan.mixing = 1.0
    latents = gan.random_latents(16)
    changes = (latents[:, 1:] != latents[:, :-1]).any(2).sum(1)
    assert (changes <= 1).all() and (changes == 1).sum() > 8  # from the last layer on, no change is seen
    gan.mixing = 0.0
    assert (gan.random_latents(4).std(1) == 0).all()


def test_a_name_always_stands_for_the_same_picture(gan):
    first, again = (list(gan.reconstruct(dict(name=["a", "b"]))) for _ in range(2))
    assert torch.equal(first[0].images["rgb"], again[0].images["rgb"])
    assert not torch.equal(first[0].images["rgb"], first[1].images["rgb"]) and first[0].images["rgb"].shape == (16, 16, 3)
