"""A line fitted to noisy points: the smallest framework of the common kind, registered from outside the package.

A config reaches it by ``custom_imports = dict(imports=["line_fit"])``.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from deep3dmap.datasets.kinds import BatchDataset, ItemDataset
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS, LOSSES


@BACKBONES.register_module()
class Line(nn.Module):
    """``y = slope * x + intercept``, from a slope and an intercept of 0; the deviation of noise added to it in training."""

    def __init__(self, noise: float = 0.0):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))
        self.intercept = nn.Parameter(torch.zeros(1))
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        """Heights (n,) at positions (n,)."""
        noise = self.noise * torch.randn_like(x) if self.training else 0.0
        return self.slope * x + self.intercept + noise


@LOSSES.register_module()
class SquaredError(Loss):
    """Mean square of the difference in height."""

    def forward(self, outputs: dict, inputs: dict) -> Tensor:
        return ((outputs["y"] - inputs["y"])**2).mean()


@LOSSES.register_module()
class SmallSlope(Loss):
    """Square of the slope, to hold it back."""

    def forward(self, outputs: dict, inputs: dict) -> Tensor:
        return (outputs["slope"]**2).mean()


@DATASETS.register_module()
class NoisyLine(ItemDataset):
    """Points of a line; each time that a point is asked for, its height is off by fresh noise.

    Args:
        slope, intercept: of the true line.
        count: of points, evenly spaced over [-1, 1].
        noise: standard deviation of the heights.
    """

    def __init__(self, slope: float = 2.0, intercept: float = -1.0, count: int = 24, noise: float = 0.1):
        super().__init__()
        self.x = torch.linspace(-1, 1, count)
        self.y = slope * self.x + intercept
        self.noise = noise

    def __len__(self) -> int:
        return len(self.x)

    def load(self, index: int) -> dict[str, Tensor]:
        return dict(position=self.x[index], height=self.y[index] + self.noise * torch.randn(()))

    def info(self) -> dict:
        return dict(span=[float(self.x.min()), float(self.x.max())])


@DATASETS.register_module()
class LineBatches(BatchDataset):
    """The same points as whole batches: every process takes its own share of ``size`` points."""

    def __init__(self, size: int = 8, **line):
        self.line, self.size = NoisyLine(**line), size

    def __len__(self) -> int:
        return len(self.line) // self.size

    def info(self) -> dict:
        return self.line.info()

    def batch(self, step: int, generator: torch.Generator, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        line = self.line
        pick = torch.randint(len(line), (self.size, ), generator=generator)
        noise = line.noise * torch.randn(self.size, generator=generator)
        return dict(position=line.x[pick][rank::world], height=(line.y[pick] + noise)[rank::world])


@FRAMEWORKS.register_module()
class LineFit(BaseFramework):
    """Fits a line. Stages: ``intercept``, then ``train``; inputs: ``x`` and ``y``, each (n,)."""

    stages = ("intercept", "train")

    def __init__(self,
                 backbone: Mapping,
                 losses: Mapping[str, Mapping],
                 input_keys: Sequence[str] | Mapping[str, str] | None = None):
        super().__init__(backbone=dict(backbone), losses=losses, input_keys=input_keys)
        self.register_buffer("span", torch.zeros(2))

    def setup(self, info: Mapping) -> None:
        self.span.copy_(torch.tensor(info["span"]))

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        """Losses, or the heights at ``x``."""
        y = self.backbone(inputs["x"])
        return self.compute_losses(dict(y=y, slope=self.backbone.slope), inputs) if mode == "loss" else dict(y=y)
