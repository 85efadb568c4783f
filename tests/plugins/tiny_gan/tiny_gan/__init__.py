"""Two networks that learn a distribution of numbers: the smallest framework with a training procedure of its own, installed.

The entry point of the distribution imports this module, so that its parts are registered with no line of config.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from deep3dmap.datasets.kinds import BatchDataset, ItemDataset
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS, METRICS
from deep3dmap.structures import Reconstruction


@DATASETS.register_module()
class Numbers(BatchDataset):
    """Whole batches of normally distributed numbers.

    Args:
        mean, deviation: of the distribution.
        size: of a batch, over all processes.
    """

    def __init__(self, mean: float = 3.0, deviation: float = 0.5, size: int = 64):
        self.mean, self.deviation, self.size = mean, deviation, size

    def __len__(self) -> int:
        return 10

    def batch(self, step: int, generator: torch.Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        numbers = self.mean + self.deviation * torch.randn(self.size, 1, generator=generator)
        return dict(number=numbers[rank::world])


@DATASETS.register_module()
class Noise(ItemDataset):
    """Noise to make numbers from, an item each: ``count`` draws, or the lines of a file."""

    def __init__(self, count: int = 200, path: str | None = None):
        super().__init__()
        draws = torch.randn(count, generator=torch.Generator().manual_seed(0)).tolist()
        lines = draws if path is None else [float(line) for line in Path(path).read_text().split()]
        self.noise = torch.tensor(lines)[:, None]

    def __len__(self) -> int:
        return len(self.noise)

    def load(self, index: int) -> dict[str, Tensor]:
        return dict(noise=self.noise[index])


@METRICS.register_module()
class Moments(Metric):
    """Mean and standard deviation of the numbers, and how far the mean is from the wanted one."""

    def __init__(self, mean: float = 3.0):
        self.mean, self.numbers = mean, []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        self.numbers.append(float(result.arrays["number"]))
        return {}

    def compute(self) -> dict[str, dict[str, float]]:
        numbers = torch.tensor(self.numbers)
        return dict(numbers=dict(mean=float(numbers.mean()), deviation=float(numbers.std()),
                                 off=float((numbers.mean() - self.mean).abs())))  # yapf: disable


@BACKBONES.register_module()
class Shift(nn.Module):
    """The generator: normal noise, scaled and shifted."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, noise: Tensor) -> Tensor:
        """Numbers (n, 1) from noise (n, 1)."""
        return self.scale * noise + self.shift


@BACKBONES.register_module()
class Judge(nn.Module):
    """The discriminator: a small network."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, numbers: Tensor) -> Tensor:
        """How true numbers (n, 1) look, (n, 1)."""
        return self.layers(numbers)


@FRAMEWORKS.register_module()
class TinyGAN(CustomFramework):
    """Least-squares GAN (Mao et al. 2017). Stages: ``judge`` trains the discriminator alone, ``play`` both in turn, ``settle``
    the generator against a discriminator at rest."""

    stages = ("judge", "play", "settle")

    def __init__(self, generator: Mapping, discriminator: Mapping):
        super().__init__()
        self.generator = BACKBONES.build(generator)
        self.discriminator = BACKBONES.build(discriminator)

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        """Numbers from ``noise`` (n, 1)."""
        return dict(number=self.generator(inputs["noise"]))

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        real = self.prepare_inputs(data, True)["number"]
        fake, log = self.generator(torch.randn_like(real)), {}
        if "discriminator" in optim_wrapper.keys():
            verdict = self.discriminator(torch.cat([real, fake.detach()]))
            loss = F.mse_loss(verdict[:len(real)], torch.ones_like(real)) + F.mse_loss(verdict[len(real):],
                                                                                       torch.zeros_like(real))
            optim_wrapper["discriminator"].update_params(loss)
            log["loss_discriminator"] = loss.detach()
        if "generator" in optim_wrapper.keys():
            loss = F.mse_loss(self.discriminator(fake), torch.ones_like(real))
            optim_wrapper["generator"].update_params(loss)
            self.discriminator.zero_grad()
            log["loss_generator"] = loss.detach()
        return log


register_card(
    Card(name="tiny_gan",
         framework="TinyGAN",
         title="Tiny GAN",
         takes="a file of noise",
         gives="numbers",
         your_own=str(Path(__file__).parent / "config.py"),
         source="test_dataloader.dataset.path",
         learns_from_data=True))
