"""Conversion of published weights: files of the widely used PyTorch port, which GAN2Shape's are, too."""

import math
import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from deep3dmap.backbones.stylegan2.generator import AREA, WIDEST
from deep3dmap.errors import CheckpointError

#: What NVIDIA's pickles hold near their beginning: the modules whose code they run.
NVIDIA = (b"dnnlib", b"torch_utils.persistence")
FIRST = 4096  # bytes
HOW = ("nothing of it was read, because that runs code. In an environment of its own, `convert_weight.py --gen --disc` of the "
       "port (rosinality/stylegan2-pytorch on GitHub) makes a .pt of it, which can be converted here")
OTHER = ("its layers can't be expressed in the paper's: it scales noise for each channel, and enlarges features by "
         "interpolation instead of a transposed convolution")
NOISE_SEED = 0


def convert(source: Path, read: Callable[[Path], object], capture: object = None) -> tuple[dict, dict, dict[str, Tensor]]:
    """A published checkpoint in our terms; see :data:`deep3dmap.frameworks.cards.Converter`.

    Args:
        source: file with ``g_ema`` (else ``g``) and, for training and inversion, ``d``. Older ones lack the pictures of noise;
            fixed ones take their place.
        read: reader of torch files that runs no code.
        capture: not used.

    Raises:
        CheckpointError: for another file; says how to convert NVIDIA's pickles.
    """
    source = Path(source)
    _refuse_pickles(source)
    with torch.serialization.safe_globals([Namespace]):  # the port's training stores its options: plain values
        content = read(source)
    content = content if isinstance(content, Mapping) else {}
    if "GAN" in content:
        raise CheckpointError(f"{source}: a checkpoint of the package stylegan2-pytorch; {OTHER}")
    weights = content.get("g_ema", content.get("g"))
    if not isinstance(weights, Mapping) or not _is_generator(weights):
        raise CheckpointError(f"{source}: no generator 'g_ema' in it, so it is no checkpoint of StyleGAN2's PyTorch port")
    generator, critic = dict(weights), content.get("d")
    options = _sizes(generator, source)
    _add_noise(generator, options["size"])
    mapping = len({name.split(".")[1] for name in generator if re.fullmatch(r"style\.\d+\.weight", name)})
    style = generator["conv1.conv.modulation.weight"].shape[1]
    model = dict(type="StyleGAN2", generator=dict(type="StyleGenerator", style=style, mapping=mapping, **options))
    state = {f"generator.{name}": value for name, value in generator.items()}
    if isinstance(critic, Mapping):
        model["discriminator"] = dict(type="StyleDiscriminator", **options)
        state |= {f"discriminator.{name}": value for name, value in critic.items()}
    return model, {}, state | dict(path_mean=torch.zeros(()))


def _refuse_pickles(source: Path) -> None:
    """Refuse NVIDIA's files without unpickling them."""
    if source.is_file():
        with open(source, "rb") as file:
            start = file.read(FIRST)
        if any(word in start for word in NVIDIA) or source.suffix == ".pkl":
            raise CheckpointError(f"{source}: NVIDIA's own pickle; {HOW}")


def _is_generator(weights: Mapping) -> bool:
    dimensions = {"input.input": 4, "conv1.conv.modulation.weight": 2}
    return all(getattr(weights.get(name), "ndim", 0) == count for name, count in dimensions.items())


def _sizes(weights: Mapping[str, Tensor], source: Path) -> dict:
    """Size, multiplier and width of a generator, from its shapes.

    Raises:
        CheckpointError: if layers are missing.
    """
    count = len([name for name in weights if re.fullmatch(r"to_rgbs\.\d+\.bias", name)])
    last = weights.get(f"convs.{2 * count - 1}.conv.weight")
    if not count or getattr(last, "ndim", 0) != 5:
        raise CheckpointError(f"{source}: the generator lacks layers: 'convs.{2 * count - 1}.conv.weight'")
    size, width = 4 * 2**count, weights["input.input"].shape[1] / WIDEST
    multiplier = last.shape[1] * size / (AREA * width) if size >= 64 else 2.0
    return dict(size=size, multiplier=multiplier, width=width)


def _add_noise(weights: dict[str, Tensor], size: int) -> None:
    """Pictures of noise where a file has none."""
    random = torch.Generator().manual_seed(NOISE_SEED)
    for layer in range(2 * int(math.log2(size)) - 3):
        side = 2**((layer + 5) // 2)
        weights.setdefault(f"noises.noise_{layer}", torch.randn(1, 1, side, side, generator=random))
