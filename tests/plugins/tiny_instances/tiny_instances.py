"""Pictures that are each fitted by a network of their own: the smallest method with one run an instance.

A config reaches it by ``custom_imports = dict(imports=["tiny_instances"])``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS, LOSSES, METRICS
from deep3dmap.structures import Reconstruction

SIZE = 12


@DATASETS.register_module()
class WaveFolder(ItemDataset):
    """Grey pictures of waves, each with a frequency of its own.

    Args:
        folder: holds a file for each picture, whose text is its frequency.
    """

    def __init__(self, folder: str):
        super().__init__()
        self.paths = sorted(Path(folder).glob("*.txt"))

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict:
        """A picture (h, w)."""
        x = torch.linspace(0, 1, SIZE)
        wave = 0.5 + 0.5 * torch.sin(float(self.paths[index].read_text()) * (x[:, None] + x[None]))
        return dict(name=self.paths[index].stem, image=wave)


@BACKBONES.register_module()
class WavePixels(nn.Module):
    """A picture that is learned pixel by pixel."""

    def __init__(self):
        super().__init__()
        self.values = nn.Parameter(torch.zeros(SIZE, SIZE))

    def forward(self) -> Tensor:
        """The picture, in [0, 1]."""
        return torch.sigmoid(self.values)


@LOSSES.register_module()
class WaveLoss(Loss):
    """Mean square of the difference, with noise."""

    def forward(self, outputs: dict, inputs: dict) -> Tensor:
        """The unweighted loss."""
        noise = 0.01 * torch.randn_like(outputs["image"])
        return ((outputs["image"] + noise - inputs["image"])**2).mean()


@METRICS.register_module()
class WaveError(Metric):
    """Largest difference from the picture, over all pictures."""

    def __init__(self):
        self.errors = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        """Of one picture."""
        self.errors.append(float((result.images["image"] - item["image"]).abs().max()))
        return dict(error=self.errors[-1])

    def compute(self) -> dict[str, dict[str, float]]:
        """Of all."""
        return dict(waves=dict(error=max(self.errors), pictures=len(self.errors)))


@FRAMEWORKS.register_module()
class WaveFit(BaseFramework):
    """Fits one picture."""

    stages = ("coarse", "fine")

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        """The picture, or its losses."""
        outputs = dict(image=self.backbone()[None])
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs

    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        """The picture."""
        yield Reconstruction(batch["name"][0], images=dict(image=self.test_step(batch)["image"][0].detach()))


register_card(
    Card(name="waves",
         framework="WaveFit",
         title="Waves",
         takes="a folder of waves",
         gives="each of them",
         source="instances.dataset.folder"))
