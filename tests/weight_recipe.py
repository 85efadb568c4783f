"""The random weights of fixtures whose networks are too large to be stored: drawn from the names of the weights."""

import zlib
from collections.abc import Mapping
from math import prod

import numpy as np
import torch
from torch import Tensor

FIXED = ("kernel", "f", "shift", "scale", "mean_rgb", "std_rgb", "weight_u", "weight_v")


def value(family: str, seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    """The values of a weight.

    Args:
        family: ``stylegan2``, or another.
        seed: of the fixture.
        name: of the weight, with the fixture's prefix.
        shape: of it.
    """
    random = np.random.RandomState(zlib.crc32(f"{family}/{seed}/{name}".encode()) & 0xFFFFFFFF)
    draw = random.standard_normal(shape)
    draw = _of_styles(name, draw) if family == "stylegan2" else _of_others(name, draw, shape)
    return torch.from_numpy(draw.astype(np.float32))


def _of_styles(name: str, draw: np.ndarray) -> np.ndarray:
    if ".style." in f".{name}" and name.endswith("weight"):
        return 100 * draw
    if name.endswith("modulation.bias"):
        return 1 + 0.1 * draw
    return 0.1 * draw if name.endswith(("bias", "noise.weight")) else draw


def _of_others(name: str, draw: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) > 1:
        return draw * (2 / prod(shape[1:]))**0.5
    return 1 + 0.1 * draw if name.endswith("weight") else 0.1 * draw


def state(family: str, seed: int, prefix: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The values of all weights, without those that are fixed."""
    return {name: value(family, seed, prefix + name, tuple(shape)) for name, shape in shapes.items()
            if name.rpartition(".")[2] not in FIXED}  # yapf: disable
