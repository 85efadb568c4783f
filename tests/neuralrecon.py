"""Common to the tests of NeuralRecon's parts: the fixtures' weights."""

import zlib
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from tests.goldens import manifest


def recipe(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """The fixtures' random values of a weight, by the kind of weight that its published name says."""
    draw = np.random.RandomState((zlib.crc32(name.encode()) + seed) % 2**32).randn(*shape)
    kind = name.rpartition(".")[2]
    if kind in ("running_var", "running_mean", "bias"):
        values = 1 + 0.2 * abs(draw) if kind == "running_var" else 0.1 * draw
    elif len(shape) == 1:
        values = 1 + 0.1 * draw
    else:
        values = draw * (2 / prod(shape[:-1] if kind == "kernel" else shape[1:]))**0.5
    values = values.astype(np.float32)
    return torch.from_numpy(values * np.float32(0.001) if name == "backbone2d.conv0.0.weight" else values)


def published_state(seed: int, prefix: str = "") -> dict[str, Tensor]:
    """The fixtures' weights of the published configuration, below a prefix and without it; counters of batches are 0."""
    shapes = manifest("neuralrecon")["meta"]["state_dict"]
    return {name.removeprefix(prefix): recipe(name, shape, seed) if shape else torch.tensor(0)
            for name, shape in shapes.items() if name.startswith(prefix)}  # yapf: disable


def load(module: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """The module in evaluation mode with these weights, all of which it must have."""
    module.load_state_dict(state)
    return module.eval()
