"""The Frechet distance of pictures' features."""

import numpy as np
import pytest
import torch

from deep3dmap.backbones import EfficientNetLite0
from deep3dmap.errors import ConfigError, DataError, MissingDependencyError
from deep3dmap.evaluation import frechet
from deep3dmap.evaluation.frechet import FrechetDistance, frechet_distance, mean_features
from deep3dmap.structures import Reconstruction
from tests.backbones.test_efficientnet_lite import plain_features, published


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "network.pth"
    torch.save(published(), path)
    return str(path)


def normal(mean, deviations, count: int = 200_000) -> np.ndarray:
    return np.array(mean) + np.random.default_rng(0).normal(size=(count, len(mean))) * deviations


def test_the_distance_of_normal_distributions_is_the_analytic_one():
    a, b = normal([0, 0, 0], [1, 2, 3]), normal([1, 0, -2], [2, 2, 1])
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (1 - 2)**2 + 0 + (3 - 1)**2, rel=0.02)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_the_distance_of_a_sample_to_itself_is_0_also_with_few_entries():
    a = normal([0] * 10, np.ones(10), 4)
    assert abs(frechet_distance(a, a)) < 1e-6


@torch.no_grad()
def test_features_are_the_means_of_the_networks_stages():
    state, network = published(), EfficientNetLite0().eval()
    network.load_state_dict(network.from_published(state))
    pictures = torch.randint(256, (2, 128, 128, 3), dtype=torch.uint8)
    outputs = plain_features(state, pictures.permute(0, 3, 1, 2).float())
    expected = torch.cat([outputs[block].mean((2, 3)) for block in (2, 4, 7)], 1)
    torch.testing.assert_close(mean_features(network, pictures), expected, atol=1e-3, rtol=1e-3)


def measured(weights: str, noise: float, count: int = 9) -> dict:
    """The metric of pictures and of themselves with noise."""
    metric, random = FrechetDistance(weights), np.random.default_rng(0)
    for _ in range(count):
        image = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        made = (image / 255 + noise * random.normal(size=image.shape)).clip(0, 1)
        metric.add_item(dict(img=image), Reconstruction("a", images=dict(rgb=torch.from_numpy(made).float())))
    assert metric.add_item(dict(), Reconstruction("b")) == {}
    return metric.compute()["pictures"]


def test_equal_pictures_have_the_distance_0_and_noise_adds_to_it(weights, monkeypatch):
    monkeypatch.setattr(frechet, "BATCH", 4)
    same, little, much = (measured(weights, noise) for noise in (0.0, 0.05, 0.4))
    assert same["pictures"] == 9 and abs(same["frechet_efficientnet"]) < 1e-4
    assert 1e-3 < 3 * little["frechet_efficientnet"] < much["frechet_efficientnet"]


def test_few_pictures_are_noted_and_one_is_refused(weights):
    metric = FrechetDistance(weights)
    assert metric.compute() == {} and metric.notes() == []
    metric.add_item(dict(img=np.zeros((8, 8, 3), np.uint8)), Reconstruction("a", images=dict(rgb=torch.zeros(8, 8, 3))))
    with pytest.raises(ConfigError, match="two pictures"):
        metric.compute()
    assert metric.notes() == ["frechet_efficientnet: 1 pictures are few for covariances of 144 features"]


def test_without_the_published_weights_there_is_no_distance(tmp_path, monkeypatch):
    monkeypatch.setattr(frechet, "PACKAGE", "no-such-package")
    with pytest.raises(MissingDependencyError, match="no-such-package"):
        FrechetDistance()
    torch.save(dict(a=torch.zeros(1)), tmp_path / "other.pth")
    with pytest.raises(DataError, match="other.pth: can't be read as weights of EfficientNet-Lite0"):
        FrechetDistance(str(tmp_path / "other.pth"))
