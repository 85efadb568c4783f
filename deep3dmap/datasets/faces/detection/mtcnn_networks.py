"""The three networks of MTCNN (Zhang et al., "Joint Face Detection and Alignment using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters 2016, figure 2), and their published weights.

The weights are the MIT-licensed files inside the distribution ``facenet-pytorch``. They are found through its metadata, and
only tensors are read; the package itself, which demands an old PyTorch, is never imported.
"""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import MissingDependencyError
from deep3dmap.io.reading import reading

INSTALL = "pip install --no-deps facenet-pytorch"


class _Transposed(nn.Module):
    """Feature maps as vectors, column by column: the order in which the weights were trained."""

    def forward(self, features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return features.permute(0, 3, 2, 1).flatten(1)


class CascadeNetwork(nn.Module):
    """Convolutions, each with a PReLU and perhaps a maximum over windows of stride 2, then one output per task.

    Args:
        convolutions: (channels, kernel, window or 0 for none) of each.
        tasks: numbers of each output; the first is the two classes.
        dense: (inputs, width) of a layer between; without, the outputs are maps.
    """

    def __init__(self,
                 convolutions: Sequence[tuple[int, int, int]],
                 tasks: Sequence[int],
                 dense: tuple[int, int] | None = None):
        super().__init__()
        self.body, width = nn.Sequential(), 3
        for k, (channels, kernel, window) in enumerate(convolutions, 1):
            self.body.add_module(f"conv{k}", nn.Conv2d(width, channels, kernel))
            self.body.add_module(f"prelu{k}", nn.PReLU(channels))
            if window:
                self.body.add_module(f"pool{k}", nn.MaxPool2d(window, 2, ceil_mode=True))
            width = channels
        if dense:
            k, width = len(convolutions) + 1, dense[1]
            self.body.add_module("flat", _Transposed())
            self.body.add_module(f"dense{k}", nn.Linear(*dense))
            self.body.add_module(f"prelu{k}", nn.PReLU(width))
        self.heads = nn.ModuleList(nn.Linear(width, n) if dense else nn.Conv2d(width, n, 1) for n in tasks)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n ..."]]:
        """Probability of a face, then the other tasks; images have values in [-1, 1]."""
        features = self.body(images)
        classes, *others = [head(features) for head in self.heads]
        return [classes.softmax(1)[:, 1], *others]


def networks() -> dict[str, CascadeNetwork]:
    """The networks that propose, refine and decide, on windows of 12, 24 and 48 pixels; random weights."""
    return dict(
        pnet=CascadeNetwork([(10, 3, 2), (16, 3, 0), (32, 3, 0)], [2, 4]),
        rnet=CascadeNetwork([(28, 3, 3), (48, 3, 3), (64, 2, 0)], [2, 4], dense=(576, 128)),
        onet=CascadeNetwork([(32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0)], [2, 4, 10], dense=(1152, 256)),
    )


def weights_folder() -> Path:
    """The folder with the published weights.

    Raises:
        MissingDependencyError: if the distribution that holds them is not installed.
    """
    try:
        return Path(str(distribution("facenet-pytorch").locate_file("facenet_pytorch/data")))
    except PackageNotFoundError:
        raise MissingDependencyError(f"the detector 'mtcnn' needs the weights inside facenet-pytorch: {INSTALL}") from None


def load_networks(folder: Path) -> list[CascadeNetwork]:
    """The networks with the weights ``pnet.pt``, ``rnet.pt`` and ``onet.pt`` of a folder.

    Raises:
        DataError: if one is missing, damaged, or of another network.
    """
    found = networks()
    for name, network in found.items():
        path = folder / f"{name}.pt"
        with reading(path, "weights of MTCNN", f"install them again: {INSTALL} --force-reinstall"):
            state = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict({_own_name(key): value for key, value in state.items()})
        network.eval().requires_grad_(False)
    return list(found.values())


def _own_name(key: str) -> str:
    """``conv4_2.weight``, of the second task, is ``heads.1.weight`` here."""
    layer, _, kind = key.partition(".")
    head = layer.partition("_")[2]
    return f"heads.{int(head) - 1}.{kind}" if head else f"body.{key}"
