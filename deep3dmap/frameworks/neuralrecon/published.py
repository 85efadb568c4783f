"""Conversion of NeuralRecon's published checkpoints."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.errors import CheckpointError

#: The authors' names of parts, and ours.
PARTS = {"neucon_net.sp_convs.": "backbone3d.", "neucon_net.gru_fusion.": "gru_fusion.",
         "neucon_net.tsdf_preds.": "tsdf_heads.", "neucon_net.occ_preds.": "occupancy_heads."}  # yapf: disable


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of :class:`~deep3dmap.frameworks.neuralrecon.network.NeuralReconNetwork` for that of the authors'.

    Its parts are :class:`~deep3dmap.backbones.MnasMulti` and :class:`~deep3dmap.backbones.SparseUNet`. Names that don't belong
    to the authors' network stay as they are.
    """
    renamed = {}
    for name, value in state.items():
        name = name.removeprefix("module.")
        part = next((part for part in PARTS if name.startswith(part)), "")
        renamed[PARTS.get(part, "") + name.removeprefix(part)] = value
    return renamed


def read_published(path: Path, read: Callable[[Path], object]) -> dict[str, Tensor]:
    """The network's state in a published checkpoint, ``model_NNNNNN.ckpt``.

    Args:
        path: of the file.
        read: reader of torch files that runs no code.

    Raises:
        CheckpointError: if the file has another layout, or numbers that are not finite.
    """
    content = read(path)
    state = content.get("model") if isinstance(content, Mapping) else None
    found = from_published(state) if isinstance(state, Mapping) else {}
    if "tsdf_heads.0.weight" not in found:
        raise CheckpointError(f"{path}: no weights 'neucon_net.tsdf_preds.0.weight' in its 'model', so it is not a published "
                              "checkpoint of NeuralRecon")
    for name, value in found.items():
        if not isinstance(value, Tensor) or not torch.isfinite(value).all():
            raise CheckpointError(f"{path}: '{name}' is not a tensor of finite numbers")
    return found


def convert(path: Path, read: Callable[[Path], object], capture: object) -> tuple[dict, dict, dict[str, Tensor]]:
    """Convert a published checkpoint; see :data:`deep3dmap.frameworks.cards.Converter`.

    Raises:
        CheckpointError: see :func:`read_published`.
    """
    model = dict(type="NeuralRecon", backbone2d=dict(type="MnasMulti"), backbone3d=dict(type="SparseUNet"))
    return model, {}, {f"network.{name}": value for name, value in read_published(path, read).items()}
