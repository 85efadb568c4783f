"""Conversion of published weights: the authors' TensorFlow checkpoint, and files of the PyTorch port."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.backbones.resfcn import DECODER, ENCODER, ResFCN
from deep3dmap.errors import CheckpointError
from deep3dmap.io.tensor_bundle import bundle_index, read_tensor_bundle

RESOLUTION = 256
SCOPE = "resfcn256/"
#: TensorFlow's names of a norm's values, and PyTorch's.
NORM = dict(gamma="weight", beta="bias", moving_mean="running_mean", moving_variance="running_var")
#: Largest coordinate in sides of the crop, at an output of 1, of the port; the authors' is that of our own networks.
PORT_REACH = 255 / 256
#: The port's layers in a block, and ours.
PORT_BLOCK = dict(conv1="conv1.conv",
                  conv2="conv2.conv",
                  conv3="conv3.conv",
                  shortcut_conv="shortcut.conv",
                  normalizer_fn="norm")
#: Layers of the decoder of stride 2; the others are ordinary convolutions here.
DOUBLING = [k for k, (_, stride) in enumerate(DECODER) if stride == 2]


def _numbered(name: str, k: int) -> str:
    """TensorFlow's name of the k-th of equal names."""
    return f"{name}_{k}" if k else name


def _turned(weight: Tensor) -> Tensor:
    """The weight (out, in, h, w) of the convolution that equals a transposed one of stride 1 with weight (in, out, h, w)."""
    return weight.transpose(0, 1).flip(2, 3)


def tensorflow_layers() -> dict[str, str]:
    """Our layers and the authors' names of them."""
    layers = {"encoder.0": "Conv"}
    for k in range(len(ENCODER)):
        block = _numbered("resBlock", k)
        layers |= {f"encoder.{k + 1}.conv{j + 1}": f"{block}/{_numbered('Conv', j)}" for j in range(3)}
        layers |= {f"encoder.{k + 1}.shortcut": f"{block}/shortcut", f"encoder.{k + 1}": block}
    return layers | {f"decoder.{k}": _numbered("Conv2d_transpose", k) for k in range(len(DECODER) + 3)}


def from_tensorflow(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of the ``official`` :class:`~deep3dmap.backbones.ResFCN` for the variables of the authors' graph.

    Args:
        variables: by name (``resfcn256/Conv/weights``), kernels (h, w, in, out), or (h, w, out, in) where transposed. Others,
            such as those of an optimiser, are left out.
    """
    state, doubling = {}, {f"decoder.{k}" for k in DOUBLING}
    for ours, theirs in tensorflow_layers().items():
        weight = variables.get(f"{SCOPE}{theirs}/weights")
        if weight is not None:
            weight = weight.permute(3, 2, 0, 1)
            state[f"{ours}.conv.weight"] = _turned(weight) if "decoder" in ours and ours not in doubling else weight
        norm = "bn" if weight is not None else "norm"
        for name, own in NORM.items():
            if (value := variables.get(f"{SCOPE}{theirs}/BatchNorm/{name}")) is not None:
                state[f"{ours}.{norm}.{own}"] = value
                state[f"{ours}.{norm}.num_batches_tracked"] = torch.tensor(0)
    return {name: value.contiguous() for name, value in state.items()}


def from_port(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of the ``port`` :class:`~deep3dmap.backbones.ResFCN` for that of the PyTorch port, with all of its shortcuts.

    Its pictures are BGR, ours RGB. Names that don't belong to the port stay as they are.
    """
    renamed = {}
    for name, value in state.items():
        layer, _, rest = name.partition(".")
        kind, number = re.fullmatch(r"(\D*)(\d*).*", layer).groups()
        if layer == "block0":
            name, value = f"encoder.0.conv.{rest}", value.flip(1)
        elif kind == "block":
            part, _, rest = rest.partition(".")
            name = f"encoder.{number}.{PORT_BLOCK.get(part, part)}.{rest}"
        elif kind == "upsample":
            name = f"decoder.{number}.conv.{rest}"
            value = _turned(value).contiguous() if rest == "weight" and int(number) not in DOUBLING else value
        renamed[name] = value
    return renamed


def _read_port(path: Path, read: Callable[[Path], object]) -> dict[str, Tensor]:
    """The port's state: a dictionary's ``prnet``, or the file's content; several GPUs' names start with ``module.``."""
    content = read(path)
    state = content.get("prnet", content) if isinstance(content, Mapping) else {}
    state = {str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)}
    if getattr(state.get("block0.weight"), "ndim", 0) != 4:
        raise CheckpointError(f"{path}: no weights 'block0.weight' in it, so it is neither a checkpoint of PRNet's PyTorch "
                              "port nor the index of one of the authors' (256_256_resfcn256_weight.index)")
    return state


def convert(source: Path, read: Callable[[Path], object], capture: object = None) -> tuple[dict, dict, dict[str, Tensor]]:
    """A published checkpoint in our terms; see :data:`deep3dmap.frameworks.cards.Converter`. Its layout is PRNet's, ``bfm``.

    Args:
        source: of the authors, ``256_256_resfcn256_weight`` or a file of this name, index or data; or the port's ``.pth``.
        read: reader of torch files that runs no code.
        capture: not used.

    Raises:
        CheckpointError: if it is neither.
        DataError: if the authors' files are damaged.
    """
    loss = dict(type="PositionMapLoss", layout="bfm")
    if index := bundle_index(Path(source)):
        variables = {name: torch.from_numpy(value) for name, value in read_tensor_bundle(index).items()}
        if (first := variables.get(f"{SCOPE}Conv/weights")) is None or first.ndim != 4:
            raise CheckpointError(f"{index}: no variable '{SCOPE}Conv/weights', so it is not PRNet's checkpoint")
        backbone, state = dict(size=first.shape[3], variant="official"), from_tensorflow(variables)
        options = dict(losses=dict(position=loss))
    else:
        state = from_port(_read_port(Path(source), read))
        backbone = dict(size=len(state["encoder.0.conv.weight"]), variant="port")
        needed = ResFCN(resolution=RESOLUTION, **backbone).state_dict()
        state = {name: value for name, value in state.items() if name in needed or "shortcut" not in name}
        options = dict(losses=dict(position=loss | dict(kind="port")), reach=PORT_REACH)
    model = dict(type="PRNet", backbone=dict(type="ResFCN", resolution=RESOLUTION, **backbone), layout="bfm", **options)
    return model, {}, {f"backbone.{name}": value for name, value in state.items()}
