"""Levels followed through sequences of noisy measurements: the smallest method that carries a state from clip to clip.

A config reaches it by ``custom_imports = dict(imports=["tiny_clips"])``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from deep3dmap.datasets.kinds import ClipDataset
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS, LOSSES, METRICS
from deep3dmap.structures import Reconstruction


@DATASETS.register_module()
class Levels(ClipDataset):
    """Sequences of a level each, measured twice in a clip with noise as large as the levels' own spread.

    Args:
        lengths: of the sequences, in clips.
        seed: of levels and noise.
        path: JSON file of the measurements of each sequence to take instead; their levels are not known.
    """

    def __init__(self, lengths: Sequence[int] = (7, 4, 9, 6), seed: int = 0, path: str | None = None):
        super().__init__()
        given = None if path is None else json.loads(Path(path).read_text())
        lengths = lengths if given is None else [len(sequence) for sequence in given]
        generator = torch.Generator().manual_seed(seed)
        self.lengths, self.levels = list(lengths), torch.randn(len(lengths), generator=generator)
        self.owners = torch.arange(len(lengths)).repeat_interleave(torch.tensor(self.lengths))
        self.measured = self.levels[self.owners, None] + torch.randn(len(self), 2, generator=generator)
        self.known = given is None
        if given is not None:
            self.measured = torch.tensor([pair for sequence in given for pair in sequence])

    def __len__(self) -> int:
        return sum(self.lengths)

    def sequences(self) -> list[range]:
        ends = [sum(self.lengths[:k + 1]) for k in range(len(self.lengths))]
        return [range(end - length, end) for end, length in zip(ends, self.lengths)]

    def load(self, index: int) -> dict:
        owner = int(self.owners[index])
        known = dict(level=self.levels[owner]) if self.known else {}
        return dict(name=f"sequence_{owner}", measured=self.measured[index]) | known


@BACKBONES.register_module()
class Gain(nn.Module):
    """Moves an estimate towards what is measured, by a share that is learned."""

    def __init__(self):
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(()))

    def forward(self, estimates: Tensor, measured: Tensor) -> Tensor:
        """New estimates (n,) from old ones (n,) and measurements (n, 2)."""
        return estimates + self.logit.sigmoid() * (measured.mean(1) - estimates)


@LOSSES.register_module()
class LevelError(Loss):
    """Mean square of the levels' error."""

    def forward(self, outputs: dict, inputs: dict) -> Tensor:
        return ((outputs["level"] - inputs["level"])**2).mean()


@FRAMEWORKS.register_module()
class TinyClips(BaseFramework):
    """Follows levels. Inputs: ``measured`` (n, 2), ``begins`` (n,) and, for training, ``level`` (n,).

    Stages: ``clips`` trains on each clip by itself; ``sequences`` begins with the estimates of the clips before.
    """

    stages = ("clips", "sequences")

    def __init__(self, backbone: Mapping, losses: Mapping[str, Mapping]):
        super().__init__(backbone=dict(backbone), losses=losses)
        self.estimates = torch.zeros(0)

    def training_state(self) -> dict:
        return dict(estimates=self.estimates)

    def load_training_state(self, state: Mapping) -> None:
        self.estimates = state.get("estimates", torch.zeros(0))

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        begins = inputs["begins"]
        before = torch.zeros(begins.shape)
        if self.stage.name != "clips" and not begins.all():
            before = torch.where(begins, before, self.estimates)
        outputs = dict(level=self.backbone(before, inputs["measured"]))
        self.estimates = outputs["level"].detach()
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs

    @torch.no_grad()
    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        for name, level, ends in zip(batch["name"], self.test_step(batch)["level"], batch["ends"]):
            yield Reconstruction(name, arrays=dict(level=level), partial=not ends)


@METRICS.register_module()
class LevelOff(Metric):
    """Root mean square of the levels' errors."""

    def __init__(self):
        self.squares: list[float] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        if "level" not in item:
            return {}
        off = float(result.arrays["level"] - item["level"])
        self.squares.append(off**2)
        return dict(off=off)

    def compute(self) -> dict[str, dict[str, float]]:
        if not self.squares:
            return {}
        return dict(levels=dict(off=(sum(self.squares) / len(self.squares))**0.5, sequences=len(self.squares)))


register_card(
    Card(name="tiny_clips",
         framework="TinyClips",
         title="Tiny clips",
         takes="a file of measurements",
         gives="the level of each sequence",
         source="test_dataloader.dataset.path",
         learns_from_data=True))
