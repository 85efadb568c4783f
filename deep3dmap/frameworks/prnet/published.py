"""Conversion of published weights: the authors' TensorFlow checkpoint, and files of the PyTorch port."""

from collections.abc import Mapping

from torch import Tensor

from deep3dmap.backbones.resfcn import DECODER, ENCODER, LAST

SCOPE = "resfcn256/"
#: TensorFlow's names of a norm's values, and PyTorch's.
NORM = dict(gamma="weight", beta="bias", moving_mean="running_mean", moving_variance="running_var")
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
    return layers | {f"decoder.{k}": _numbered("Conv2d_transpose", k) for k in range(len(DECODER) + LAST)}


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
    return {name: value.contiguous() for name, value in state.items()}


def from_port(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State of the ``port`` :class:`~deep3dmap.backbones.ResFCN` for that of the PyTorch port, with all of its shortcuts.

    Its pictures are BGR, ours RGB. Names that don't belong to the port stay as they are.
    """
    renamed = {}
    for name, value in state.items():
        layer, _, rest = name.partition(".")
        number = layer.lstrip("abcdefghijklmnopqrstuvwxyz")
        if layer == "block0":
            name, value = f"encoder.0.conv.{rest}", value.flip(1)
        elif layer == f"block{number}":
            part, _, rest = rest.partition(".")
            name = f"encoder.{number}.{PORT_BLOCK.get(part, part)}.{rest}"
        elif layer == f"upsample{number}":
            name = f"decoder.{number}.conv.{rest}"
            value = _turned(value).contiguous() if rest == "weight" and int(number) not in DOUBLING else value
        renamed[name] = value
    return renamed
