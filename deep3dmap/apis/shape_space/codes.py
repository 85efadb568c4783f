"""Reading shape spaces, and reading and writing the codes of single shapes."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.apis.inference import load_framework
from deep3dmap.engine.checkpoint import read_pickle
from deep3dmap.errors import CheckpointError, DataError
from deep3dmap.frameworks.deepsdf import DeepSDF
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes, read_npz


def load_shape_space(checkpoint: str | Path, device: str = "auto") -> DeepSDF:
    """The DeepSDF of a checkpoint, with the codes of its training shapes.

    Raises:
        CheckpointError: if there is no usable checkpoint, it is of another framework, or holds no codes.
    """
    try:
        framework = load_framework(checkpoint, device)
    except DataError as error:
        raise CheckpointError(f"{checkpoint}: its framework can't be set up: {error}") from None
    if not isinstance(framework, DeepSDF):
        raise CheckpointError(f"{checkpoint}: holds {type(framework).__name__}, which has no space of shapes")
    return framework


def read_code(path: str | Path, length: int) -> Float[Tensor, "l"]:
    """A shape's code from a file: ``code`` of an ``npz``, or the tensor (1, 1, l) of the authors' ``.pth`` files.

    Raises:
        DataError: if it is not a code, has another length, or is not finite.
        CheckpointError: if a ``.pth`` file is missing, damaged, or holds more than tensors.
    """
    path = Path(path)
    if path.suffix == ".npz":
        code = np.array(read_npz(path, "a shape's code", ("code", ))["code"])
    else:
        code = read_pickle(path)
        code = code.detach().numpy() if isinstance(code, Tensor) and code.is_floating_point() else np.empty(0, object)
    if code.dtype.kind != "f" or code.ndim == 0 or code.size == 0 or code.size != code.shape[-1]:
        raise DataError(f"{path}: holds no code of one shape: expected an array of {length} floating-point numbers, got shape "
                        f"{code.shape} and type {code.dtype}")
    if code.size != length:
        raise DataError(f"{path}: its code has {code.size} entries, but codes of this checkpoint have {length}")
    if not np.isfinite(code).all():
        raise DataError(f"{path}: its code has entries that are not finite numbers")
    return torch.from_numpy(code.astype(np.float32).reshape(-1))


def write_code(path: str | Path, code: Float[Tensor, "l"], **more: np.ndarray) -> Path:
    """Write a code for :func:`read_code`, and further arrays by name."""
    return write_atomically(path, npz_bytes(code=code.detach().cpu().numpy(), **more))
