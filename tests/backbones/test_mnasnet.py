"""NeuralRecon's published 2D network against the reference's features."""

import pytest
import torch
from torch import nn

from deep3dmap.backbones import MnasMulti
from deep3dmap.errors import ConfigError
from tests.goldens import manifest, read, tensor
from tests.neuralrecon import load, published_state


@pytest.fixture(scope="module")
def network() -> MnasMulti:
    return load(MnasMulti(), published_state(manifest("neuralrecon")["seed"], "backbone2d."))


@torch.no_grad()
def test_the_features_are_the_reference_s(network):
    golden = read("neuralrecon/mnas")
    features = network(tensor(golden["img"]).float())
    assert len(features) == 3
    for level, ours in enumerate(features):
        torch.testing.assert_close(ours, tensor(golden[f"feat{level}"]), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_norms_folded_into_convolutions_change_nothing(network):
    x, first = torch.rand(2, 3, 32, 48) * 255, network.conv0
    plain = x
    for layer in first[:8]:
        plain = layer(plain)
    ours = type(first)(*first[:8])(x)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)


def test_a_new_network_trains_all_of_its_weights():
    torch.manual_seed(0)
    network = MnasMulti()
    features = network(torch.rand(2, 3, 32, 32) * 255)
    assert [f.shape[1:] for f in features] == [(24, 8, 8), (40, 4, 4), (80, 2, 2)]
    sum(f.square().mean() for f in features).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in network.parameters())
    assert next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).momentum == 3e-4


def test_evaluation_gives_gradients_too(network):
    images = (torch.rand(1, 3, 32, 32) * 255).requires_grad_()
    network(images)[0].sum().backward()
    assert images.grad.abs().sum() > 0


def test_pictures_that_do_not_halve_four_times_are_refused(network):
    with pytest.raises(ConfigError, match="72x64"):
        network(torch.zeros(1, 3, 64, 72))
