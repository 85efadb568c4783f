"""Adaptive augmentation of what the discriminator sees, for few pictures.

Karras et al., "Training generative adversarial networks with limited data", NeurIPS 2020 (ADA): real and generated pictures
are changed at random in the same way, and the generator gets its gradients through the changes. Of the paper's pipeline there
are flips, integer translations, brightness and contrast.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deep3dmap.processes import SharedDraws, all_reduce, shared_draws

REACH = 1 / 8  # largest translation, in sides of the picture
BRIGHTNESS, CONTRAST = 0.2, 0.5  # standard deviations, the latter of the factor's binary logarithm
MEMORY = 8  # steps over which the discriminator's verdicts are averaged


class AdaptiveAugmentation(nn.Module):
    """Changes pictures, the more of them the better the discriminator knows the real ones by heart.

    Args:
        target: mean sign of the discriminator's logits of real pictures; above it more is changed, below it less.
        pictures: real pictures within which the probability can go from 0 to 1.

    Attributes:
        probability: of each change of a picture.
        signs: running mean of the signs.
    """

    def __init__(self, target: float = 0.6, pictures: int = 500_000):
        super().__init__()
        self.target, self.pictures = target, pictures
        self.register_buffer("probability", torch.zeros(()))
        self.register_buffer("signs", torch.zeros(()))

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Changed pictures; differentiable, also twice."""
        draws = shared_draws(len(images))
        flipped = self._chosen(draws) & (torch.rand(draws.total, generator=draws.generator)[draws.share] < 0.5)
        reach = torch.tensor([round(REACH * side) for side in images.shape[2:]])
        shift = ((2 * torch.rand(draws.total, 2, generator=draws.generator)[draws.share] - 1) * (reach + 0.5)).round().long()
        shift = torch.where(self._chosen(draws)[:, None], shift.clamp(-reach, reach), 0)
        brightness = torch.where(self._chosen(draws), BRIGHTNESS * _normal(draws), 0.0)
        contrast = torch.where(self._chosen(draws), 2**(CONTRAST * _normal(draws)), 1.0)
        moved = moved_pictures(images, flipped, shift)
        return moved * contrast.to(images)[:, None, None, None] + brightness.to(images)[:, None, None, None]

    def _chosen(self, draws: SharedDraws) -> Bool[Tensor, " b"]:
        """Which pictures get a change."""
        return torch.rand(draws.total, generator=draws.generator)[draws.share] < float(self.probability)

    def adapt(self, logits: Float[Tensor, "b 1"], count: int) -> None:
        """Move the probability.

        Args:
            logits: of this process's real pictures.
            count: of the real pictures of all processes.
        """
        sign, = all_reduce(float(logits.detach().sign().mean()), op="mean")
        self.signs += (sign - self.signs) / MEMORY
        step = count / self.pictures * torch.sign(self.signs - self.target)
        self.probability.copy_((self.probability + step).clamp(0, 1))


def _normal(draws: SharedDraws) -> Float[Tensor, " b"]:
    return torch.randn(draws.total, generator=draws.generator)[draws.share]


def moved_pictures(images: Float[Tensor, "b c h w"], flipped: Bool[Tensor, " b"],
                   shift: Int[Tensor, "b 2"]) -> Float[Tensor, "b c h w"]:  # yapf: disable
    """Pictures mirrored left to right, then moved by whole pixels; the edge is mirrored into the gap.

    Args:
        images: pictures.
        flipped: which are mirrored.
        shift: rows down and columns to the right.
    """
    height, width = images.shape[2:]
    row = _mirrored(torch.arange(height) - shift[:, :1], height)
    column = _mirrored(torch.arange(width) - shift[:, 1:], width)
    column = torch.where(flipped[:, None], width - 1 - column, column)
    number, row, column = (index.to(images.device) for index in (torch.arange(len(images)), row, column))
    return images[number[:, None, None], :, row[:, :, None], column[:, None, :]].permute(0, 3, 1, 2)


def _mirrored(index: Int[Tensor, "b n"], length: int) -> Int[Tensor, "b n"]:
    """Indices outside of a line, mirrored at its first and last entry."""
    index = index.abs()
    return torch.where(index >= length, 2 * (length - 1) - index, index)
