"""NeuralRecon's losses: occupancy and distances of the voxels of each level (Sun et al., CVPR 2021, section 3.3).

A level is a dictionary with ``occupancy`` (n,) logits, ``tsdf`` (n,) in truncation distances, ``occupancy_target`` (n,) bool,
``tsdf_target`` (n,), and ``mask`` (n,) bool, the voxels that count. Levels follow one another from coarse to fine.
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES

#: Weights of the levels, coarse to fine.
LEVELS = (1.0, 0.8, 0.64)
Level = Mapping[str, Tensor]


def log_transform(tsdf: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """``sign(x) log(1 + |x|)``."""
    return tsdf.sign() * tsdf.abs().log1p()


def occupancy_loss(logits: Float[Tensor, "*n"], target: Bool[Tensor, "*n"], pos_weight: float = 1.0) -> Float[Tensor, ""]:
    """Binary cross entropy in which occupied voxels weigh ``pos_weight`` times as much as all the others; 0 without any."""
    occupied = target.sum()
    if not occupied:
        return 0 * logits.sum()
    weight = pos_weight * (target.numel() - occupied) / occupied
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits), pos_weight=weight)


def log_l1_loss(tsdf: Float[Tensor, "*n"], target: Float[Tensor, "*n"], occupied: Bool[Tensor, "*n"]) -> Float[Tensor, ""]:
    """Mean difference of distances in occupied voxels after :func:`log_transform`; 0 without any."""
    if not occupied.any():
        return 0 * tsdf.sum()
    return (log_transform(tsdf[occupied]) - log_transform(target[occupied])).abs().mean()


class LevelLoss(Loss):
    """Base of losses that are sums over levels.

    Args:
        levels: weights of the levels, coarse to fine.
        weight: see the base class.
    """

    def __init__(self, levels: Sequence[float] = LEVELS, weight: float | Sequence[float] | dict = 1.0):
        super().__init__(weight)
        self.levels = tuple(levels)

    def of_level(self, level: Level) -> Float[Tensor, ""]:
        """The loss of the voxels that count."""
        raise NotImplementedError

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``levels``, see the module; there may be fewer than weights.
            inputs: not used.
        """
        counted = [{key: value[level["mask"]] for key, value in level.items()} for level in outputs["levels"]]
        return sum(weight * self.of_level(level) for weight, level in zip(self.levels, counted))


@LOSSES.register_module()
class OccupancyLoss(LevelLoss):
    """Balanced binary cross entropy of the voxels' occupancy (NeuralRecon).

    Args:
        pos_weight: of all occupied voxels, relative to all others; the default is the published one.
        levels, weight: see :class:`LevelLoss`.
    """

    def __init__(self,
                 pos_weight: float = 1.5,
                 levels: Sequence[float] = LEVELS,
                 weight: float | Sequence[float] | dict = 1.0):
        super().__init__(levels, weight)
        self.pos_weight = pos_weight

    def of_level(self, level: Level) -> Float[Tensor, ""]:
        """The loss of the voxels that count."""
        return occupancy_loss(level["occupancy"], level["occupancy_target"], self.pos_weight)


@LOSSES.register_module()
class LogL1Loss(LevelLoss):
    """L1 difference of the logarithms of truncated distances in occupied voxels (NeuralRecon)."""

    def of_level(self, level: Level) -> Float[Tensor, ""]:
        """The loss of the voxels that count."""
        return log_l1_loss(level["tsdf"], level["tsdf_target"], level["occupancy_target"])
