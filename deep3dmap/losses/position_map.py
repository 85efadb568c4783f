"""PRNet's loss: differences of position maps, weighted by regions of the face (Feng et al., ECCV 2018, section 3.2).

The paper's weights are 16 for the 68 landmarks, 4 for eyes, nose and mouth, 3 for the rest of the face, and 0 for the neck.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.annotations import Count
from deep3dmap.errors import ConfigError
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.structures.uv_layout import UVLayout


def face_weights(layout: UVLayout) -> Float[np.ndarray, "s s"]:
    """A layout's weights on its face and 0 elsewhere; the authors' file has the face's weight there as well."""
    weights = np.zeros_like(layout.weights)
    weights.flat[layout.indices] = layout.weights.flat[layout.indices]
    return weights


def port_weights(weights: Float[np.ndarray, "s s"]) -> Float[np.ndarray, "s s"]:
    """Weights up to 16 that the PyTorch port makes of an image of the weights: whole numbers, with 15 and 7 made 16 and 8."""
    sixteenths = np.floor(np.round(weights * 255) / 16)
    return sixteenths + np.isin(sixteenths, (7, 15))


@LOSSES.register_module()
class PositionMapLoss(Loss):
    """Weighted differences of position maps.

    Args:
        layout: of the maps: ``ict``, ``bfm``, or a folder; see :class:`deep3dmap.structures.uv_layout.UVLayout`.
        size: pixels along an edge of the maps.
        kind: ``distance``: the weighted mean of the distances of points, the paper's equation 2 up to a factor; ``squared``:
            of their squares; ``port``: the PyTorch port's, of squares: the mean over x, y, z, times weights up to 16, summed
            over pixels *and the batch*, divided by the pixels of one map.
        weight: see the base class.
    """

    def __init__(self,
                 layout: str = "ict",
                 size: Count = 256,
                 kind: Literal["distance", "squared", "port"] = "distance",
                 weight: float | Sequence[float] | dict = 1.0):
        super().__init__(weight)
        self.kind, weights = kind, face_weights(UVLayout.load(layout, size))
        weights = port_weights(weights) / (3 * size**2) if kind == "port" else weights / weights.sum()
        self.register_buffer("pixel_weights", torch.from_numpy(weights.astype(np.float32)), persistent=False)

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``position_map`` (n, 3, s, s).
            inputs: ``position_map`` of the same shape and unit, the truth.

        Raises:
            ConfigError: if prediction, truth and weights have maps of different sizes.
        """
        predicted, truth = outputs["position_map"], inputs["position_map"]
        self._check_sizes(*(maps.shape[-1] for maps in (predicted, truth, self.pixel_weights)))
        difference = predicted - truth
        error = difference.norm(dim=1) if self.kind == "distance" else difference.square().sum(1)
        total = (error * self.pixel_weights).sum()
        return total if self.kind == "port" else total / len(error)

    def _check_sizes(self, predicted: int, truth: int, weights: int) -> None:
        if not predicted == truth == weights:
            raise ConfigError(f"PositionMapLoss: the network's maps have {predicted} pixels along an edge (the resolution in "
                              f"model.backbone), the data's {truth} (the data set's map_size) and the loss's {weights} (the "
                              "size in model.losses); give all three the same")
