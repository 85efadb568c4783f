"""Two players that learn a distribution of numbers: the smallest framework with its own dance, as an installed plug-in.

The entry point of the distribution imports this module, so that its parts are registered with no line of config.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS


@DATASETS.register_module()
class Numbers:
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
        """The batch of a step."""
        numbers = self.mean + self.deviation * torch.randn(self.size, 1, generator=generator)
        return dict(number=numbers[rank::world])


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
    """Least-squares GAN (Mao et al. 2017). Stages: ``judge`` trains the discriminator alone, ``play`` both in turn."""

    stages = ("judge", "play")

    def __init__(self, generator: Mapping, discriminator: Mapping):
        super().__init__(input_keys=["number"])
        self.generator = BACKBONES.build(generator)
        self.discriminator = BACKBONES.build(discriminator)

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        """As many numbers as ``number`` has."""
        return dict(number=self.generator(torch.randn_like(inputs["number"])))

    def train_step(self, data: Mapping, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """The discriminator's step, then the generator's."""
        real = self.prepare_inputs(data, True)["number"]
        fake = self.generator(torch.randn_like(real))
        verdict = self.discriminator(torch.cat([real, fake.detach()]))
        log = dict(loss_discriminator=F.mse_loss(verdict[:len(real)], torch.ones_like(real)) +
                   F.mse_loss(verdict[len(real):], torch.zeros_like(real)))
        optim_wrapper["discriminator"].update_params(log["loss_discriminator"])
        if self.stage.name == "play":
            log["loss_generator"] = F.mse_loss(self.discriminator(fake), torch.ones_like(real))
            optim_wrapper["generator"].update_params(log["loss_generator"])
            optim_wrapper["discriminator"].zero_grad()
        total, log = self.parse_losses(log)
        return {name: value.detach() for name, value in log.items()}
