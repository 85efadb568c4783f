"""Common to published checkpoints of DeepSDF and IDR, whose authors' code saves them alike."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.errors import CheckpointError


def read_model_parameters(path: Path, read: Callable[[Path], object], method: str) -> dict[str, Tensor]:
    """The weights of ``ModelParameters/EPOCH.pth`` under their own names.

    Args:
        path: of the file.
        read: reader of torch files that runs no code.
        method: whose checkpoint it should be, for messages.

    Raises:
        CheckpointError: if the file has another layout, or numbers that are not finite.
    """
    content = read(path)
    weights = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise CheckpointError(f"{path}: no 'model_state_dict' in it, so it is not a published {method} checkpoint "
                              "(ModelParameters/EPOCH.pth)")
    for name, value in weights.items():
        if not isinstance(value, Tensor) or not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: '{name}' is not a tensor of finite numbers")
    return weights


def layer_shapes(weights: Mapping[str, Tensor], prefix: str, problem: str) -> list[tuple[int, int]]:
    """Shapes (out, in) of the layers ``PREFIXlin0``, ``PREFIXlin1`` ... in order.

    Raises:
        CheckpointError: ``problem``, if a number is missing.
    """
    pattern = re.compile(re.escape(prefix) + r"lin(\d+)\.weight(_v)?")
    found = {int(m[1]): tuple(v.shape) for k, v in weights.items() if v.ndim == 2 and (m := pattern.fullmatch(k))}
    if sorted(found) != list(range(len(found))):
        raise CheckpointError(problem)
    return [found[i] for i in range(len(found))]
