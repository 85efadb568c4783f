"""StyleGAN2's training steps, and its pictures."""

import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict

from deep3dmap.engine.optim import AutocastOptimWrapper
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.stylegan2.framework import frozen, to_signed
from deep3dmap.registry import FRAMEWORKS
from tests.frameworks.stylegan2.tiny import OPTIONS, SIZE


@pytest.fixture
def gan():
    torch.manual_seed(0)
    return FRAMEWORKS.build(dict(OPTIONS))


@pytest.fixture
def optimizers(gan) -> OptimWrapperDict:
    return OptimWrapperDict(**{part: OptimWrapper(torch.optim.Adam(getattr(gan, part).parameters(), 2e-3, (0.0, 0.99)))
                               for part in ("generator", "discriminator")})  # yapf: disable


def batch(count: int = 4, size: int = SIZE) -> dict:
    return dict(images=torch.randint(256, (count, size, size, 3), dtype=torch.uint8))


def weights(module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_regularisation_is_due_in_its_steps_only(gan, optimizers):
    values = [gan.train_step(batch(), optimizers) for _ in range(4)]
    assert ["r1" in each for each in values] == [True, False, True, False]
    assert ["path_length" in each for each in values] == [True, False, False, True]
    assert all(value.isfinite() for each in values for value in each.values()) and gan.path_mean > 0


def test_each_network_is_trained_by_its_own_step(gan, optimizers):
    before = weights(gan.generator), weights(gan.discriminator)
    with frozen(gan.discriminator):
        gan._generator_step(4, optimizers["generator"])
    assert torch.equal(weights(gan.discriminator), before[1]) and not torch.equal(weights(gan.generator), before[0])
    middle = weights(gan.generator)
    gan._critic_step(to_signed(batch()["images"]), optimizers["discriminator"])
    assert torch.equal(weights(gan.generator), middle) and not torch.equal(weights(gan.discriminator), before[1])


def test_the_generators_step_leaves_no_gradients_for_the_critics(gan, optimizers):
    gan.train_step(batch(), optimizers)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in gan.discriminator.parameters())


def test_a_step_in_mixed_precision_is_about_one_in_float32(gan):
    start, values = {name: value.clone() for name, value in gan.state_dict().items()}, []
    images = batch(8)
    for kind in (OptimWrapper, AutocastOptimWrapper):
        gan.load_state_dict(start)
        gan.load_training_state({})
        torch.manual_seed(1)
        wrappers = {part: kind(torch.optim.SGD(getattr(gan, part).parameters(), 1e-3))
                    for part in ("generator", "discriminator")}  # yapf: disable
        values.append(gan.train_step(images, OptimWrapperDict(**wrappers)))
    for name, value in values[0].items():
        assert float(values[1][name]) == pytest.approx(float(value), rel=0.05, abs=0.05), name


@torch.no_grad()
def test_mixed_pictures_have_two_styles(gan):
    gan.mixing = 1.0
    latents = gan.random_latents(16)
    changes = (latents[:, 1:] != latents[:, :-1]).any(2).sum(1)
    assert (changes == 1).all()
    gan.mixing = 0.0
    assert (gan.random_latents(4).std(1) == 0).all()


def test_a_name_always_stands_for_the_same_picture(gan):
    both = [each.images["rgb"] for each in gan.reconstruct(dict(name=["a", "b"]))]
    alone = next(gan.reconstruct(dict(name="b"))).images["rgb"]
    torch.testing.assert_close(both[1], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(*both, atol=1e-2) and alone.shape == (SIZE, SIZE, 3)


def test_the_first_pictures_of_a_seed_are_the_same_for_every_count(gan):
    assert torch.equal(gan.latents(20, 3)[:3], gan.latents(3, 3)) and not torch.equal(gan.latents(3, 3), gan.latents(3, 4))


def test_truncation_moves_styles_towards_their_mean(gan):
    z, mean = gan.latents(4, 0), gan.generator.mean_style(64)
    full, half, none = (gan.styles(z, share, mean) for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, (full + mean) / 2)
    torch.testing.assert_close(none, mean.expand_as(none))


def test_the_sheet_of_training_shows_the_pictures_of_fixed_vectors_and_draws_nothing(gan):
    state = torch.get_rng_state()
    sheet = gan.training_picture()
    assert torch.equal(torch.get_rng_state(), state)
    images = gan.sample(gan.latents(32, 0)).permute(0, 2, 3, 1)
    assert sheet.shape == (4 * SIZE, 8 * SIZE, 3)
    torch.testing.assert_close(sheet[SIZE:2 * SIZE, 2 * SIZE:3 * SIZE], images[10], atol=1e-5, rtol=0)


@pytest.mark.parametrize("given, problem", [
    (batch(6), "groups of 4 .* got 6; change train_dataloader.batch_size"),
    (batch(4, 2 * SIZE), r"pictures: .*\(16, 16, 3\), but StyleGAN2 needs torch.uint8 of shape \(8, 8, 3\)"),
    (dict(images=torch.zeros(4, SIZE, SIZE, 3)), "torch.float32"),
    (dict(img=torch.zeros(4, SIZE, SIZE, 3)), "'images'"),
])
def test_pictures_that_do_not_suit_are_refused_before_training(gan, given, problem):
    with pytest.raises(DataError, match=problem):
        gan.check_inputs(given, "pictures")
    gan.check_inputs(batch(8), "pictures")


def test_keys_without_pictures_are_refused():
    with pytest.raises(ConfigError, match=r"dict\(images='img'\); got {'img': 'img'}"):
        FRAMEWORKS.build(OPTIONS | dict(input_keys=["img"]))


def test_networks_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match="16 pixels along a side, the discriminator's 8"):
        FRAMEWORKS.build(OPTIONS | dict(generator=OPTIONS["generator"] | dict(size=16)))


def test_training_without_both_networks_and_optimisers_is_refused(gan, optimizers):
    with pytest.raises(ConfigError, match="an optimiser for each"):
        gan.train_step(batch(), optimizers["generator"])
    alone = FRAMEWORKS.build(OPTIONS | dict(discriminator=None))
    assert alone.sample(alone.latents(1, 0)).shape == (1, 3, SIZE, SIZE)
    with pytest.raises(ConfigError, match="with a discriminator"):
        alone.train_step(batch(), optimizers)
