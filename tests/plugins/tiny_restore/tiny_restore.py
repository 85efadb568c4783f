"""Noise taken out of pictures by a small convolutional network, the smallest method from image to image; and pictures that are
each fitted by a network of their own, the smallest method with one run an instance.

Configs reach them by ``custom_imports = dict(imports=["tiny_restore"])``.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from mmcv.cnn import ConvModule
from mmcv.transforms import BaseTransform
from torch import Tensor, nn

from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.evaluation.base import Metric
from deep3dmap.frameworks.base import BaseFramework
from deep3dmap.frameworks.cards import Card, register_card
from deep3dmap.losses.base import Loss
from deep3dmap.registry import BACKBONES, DATASETS, FRAMEWORKS, LOSSES, METRICS, TRANSFORMS
from deep3dmap.structures import Reconstruction


@DATASETS.register_module()
class Waves(ItemDataset):
    """Pictures of one wave in each colour channel.

    Args:
        count: of pictures.
        seed: of the waves.
        size: of a picture, in pixels along each edge.
        path: ``.npy`` file of pictures (n, h, w, 3) from 0 to 255 to take instead.
        pipeline: see :class:`ItemDataset`.
    """

    def __init__(self, count: int = 32, seed: int = 0, size: int = 16, path: str | None = None,
                 pipeline: Sequence[Mapping] = ()):  # yapf: disable
        super().__init__(pipeline)
        random = np.random.default_rng(seed)
        y, x = np.mgrid[:size, :size] / size
        across, down, phase = random.uniform(-1, 1, (3, count, 1, 1, 3))
        waves = np.sin(2 * np.pi * (across * x[..., None] + down * y[..., None] + phase))
        self.pictures = np.round(127.5 + 127.5 * waves).astype(np.uint8) if path is None else np.load(path)

    def __len__(self) -> int:
        return len(self.pictures)

    def load(self, index: int) -> dict:
        """A picture (h, w, 3)."""
        return dict(img=self.pictures[index])


@TRANSFORMS.register_module()
class PackNoisy(BaseTransform):
    """A picture as tensors (3, h, w) in [0, 1]: ``clean``, and ``noisy`` with normal noise.

    Args:
        noise: standard deviation.
    """

    def __init__(self, noise: float = 0.2):
        self.noise = noise

    def transform(self, results: dict) -> dict:
        """Pack an item; what earlier transforms noted beside the picture is left out."""
        clean = torch.from_numpy(results["img"] / 255).float().permute(2, 0, 1)
        return dict(clean=clean, noisy=clean + self.noise * torch.randn_like(clean))


@BACKBONES.register_module()
class Denoiser(nn.Module):
    """Adds a correction, of nothing at first, from two convolutions with batch normalisation between them."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(ConvModule(3, width, 5, padding=2, norm_cfg=dict(type="BN")),
                                    ConvModule(width, 3, 3, padding=1, act_cfg=None))
        nn.init.zeros_(self.layers[1].conv.weight)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (n, 3, h, w) from noisy ones."""
        return pictures + self.layers(pictures)


@BACKBONES.register_module()
class LearntPixels(nn.Module):
    """A picture (1, 3, h, w) in [0, 1] that is learned pixel by pixel, with a little noise in training."""

    def __init__(self, size: int = 16):
        super().__init__()
        self.values = nn.Parameter(torch.zeros(1, 3, size, size))

    def forward(self) -> Tensor:
        noise = 0.01 * torch.randn_like(self.values) if self.training else 0.0
        return torch.sigmoid(self.values) + noise


@LOSSES.register_module()
class PixelError(Loss):
    """Mean square of the pixels' difference."""

    def forward(self, outputs: dict, inputs: dict) -> Tensor:
        return ((outputs["restored"] - inputs["clean"])**2).mean()


@FRAMEWORKS.register_module()
class TinyRestore(BaseFramework):
    """Restores pictures. Inputs: ``noisy`` and, for training, ``clean``, each (n, 3, h, w)."""

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        """Losses, or the ``restored`` pictures."""
        outputs = dict(restored=self.backbone(inputs["noisy"]))
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs

    @torch.no_grad()
    def reconstruct(self, batch: Mapping, resolution: int = 256) -> Iterator[Reconstruction]:
        restored = self.test_step(batch)["restored"].cpu().permute(0, 2, 3, 1)
        for name, rgb, noisy in zip(batch["name"], restored, batch["noisy"].permute(0, 2, 3, 1)):
            yield Reconstruction(name, images=dict(rgb=rgb, noisy=noisy))


@FRAMEWORKS.register_module()
class PictureFit(TinyRestore):
    """Fits one picture, ``clean`` (1, 3, h, w)."""

    stages = ("coarse", "fine")

    def forward(self, inputs: dict, mode: str = "tensor") -> dict[str, Tensor]:
        outputs = dict(restored=self.backbone())
        return self.compute_losses(outputs, inputs) if mode == "loss" else outputs


@METRICS.register_module()
class PicturePSNR(Metric):
    """Mean PSNR of the restored pictures, and of the noisy ones."""

    higher_is_better = ("psnr", )

    def __init__(self):
        self.figures: list[dict[str, float]] = []

    def add_item(self, item: Mapping, result: Reconstruction) -> dict[str, float]:
        clean = item["clean"].permute(1, 2, 0)
        psnr = {name: float(-10 * (image - clean).square().mean().log10()) for name, image in result.images.items()}
        self.figures.append(dict(psnr=psnr["rgb"], psnr_noisy=psnr["noisy"]))
        return self.figures[-1]

    def compute(self) -> dict[str, dict[str, float]]:
        names = ("psnr", "psnr_noisy")
        return dict(pictures={name: sum(each[name] for each in self.figures) / len(self.figures) for name in names})


register_card(
    Card(name="tiny_restore",
         framework="TinyRestore",
         title="Tiny restore",
         takes="a file of noisy pictures",
         gives="pictures without noise",
         source="test_dataloader.dataset.path",
         learns_from_data=True))

register_card(
    Card(name="picture_fit",
         framework="PictureFit",
         title="Picture fit",
         takes="a file of pictures",
         gives="each of them",
         source="instances.dataset.path"))
