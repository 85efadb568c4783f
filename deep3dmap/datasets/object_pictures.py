"""Pictures of single objects, with what may be known of them: masks, true depth, latents of a GAN."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from deep3dmap.annotations import Count
from deep3dmap.datasets.image_folder import middle
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.datasets.label_maps import Parsed, mask_of_labels, read_labels
from deep3dmap.errors import DataError
from deep3dmap.io.images import image_files, read_image
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import is_file, reaching, reading
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class ObjectPictures(ItemDataset):
    """A picture, or those of a folder, each of one object: the middle of each, scaled to one size.

    The folder may have subfolders, with files of the same stem: ``image``; ``mask``, grey, white where the object is (soft
    outlines are kept), or ``labels``, label maps; ``depth``, ``.npy`` of floats, whose largest value is the background;
    ``latent``, ``.npy`` or ``.pt`` of a style of a GAN. Without a subfolder ``image``, the folder has pictures alone.

    An item has ``image`` (3, s, s) float32 RGB in [-1, 1], and, where there are such files, ``mask`` (1, s, s) in [0, 1],
    ``depth`` (s, s), ``latent`` (d,). It is named after the picture.

    Args:
        source: a picture or a folder; a path, or a name below ``DEEP3DMAP_DATA``.
        size: of the results, pixels along a side.
        crop: pixels along a side of the square in a picture's middle that is used; None: the largest one.
        labels: take masks from label maps of this category, see :func:`.label_maps.mask_of_labels`.
        pipeline: see :class:`ItemDataset`.

    Raises:
        DataError: if there is no picture; when an item is loaded, if a file is damaged, smaller than ``crop`` or, without,
            ``size``, or if it has no label map but should.
    """

    def __init__(self, source: str, size: Count, crop: Count | None = None, labels: Parsed | None = None,
                 pipeline: Sequence[Mapping] = ()):  # yapf: disable
        super().__init__(pipeline)
        self.labels = labels
        self.source, self.size, self.crop = resolve_data(source), size, crop
        folder = self.source / "image"
        with reaching(self.source):
            self.paths = image_files(folder) or image_files(self.source) if self.source.is_dir() else [self.source]
        self.labelled = bool(self.paths) and self.paths[0].parent == folder
        if not self.paths:
            raise DataError(f"{self.source}: no pictures in this folder, nor in its subfolder image/")

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict:
        """A picture, and what is known of it."""
        path = self.paths[index]
        image = read_image(path, upright=True).numpy()
        item = dict(name=path.stem, image=self._scaled(image, path).permute(2, 0, 1) / 127.5 - 1)
        if (mask := self._mask(path)) is not None:
            item["mask"] = self._scaled(mask[1], mask[0], image.shape)[None]
        if (depth := self._beside(path, "depth", ".npy")) is not None:
            item["depth"] = self._scaled(_numbers(depth), depth, image.shape)
        if (latent := self._beside(path, "latent", ".npy", ".pt")) is not None:
            item["latent"] = torch.from_numpy(_numbers(latent)).flatten()
        return item

    def _mask(self, path: Path) -> tuple[Path, Float[np.ndarray, "h w"]] | None:
        """The file of a picture's mask, and the mask in [0, 1]."""
        if self.labels is not None:
            found = self.source / "labels" / f"{path.stem}.png"
            return found, mask_of_labels(read_labels(found), self.labels)
        found = self._beside(path, "mask", ".png", ".jpg")
        return None if found is None else (found, read_image(found).numpy()[..., 0].astype(np.float32) / 255)

    def _beside(self, path: Path, kind: str, *suffixes: str) -> Path | None:
        """The file of a kind that belongs to a picture."""
        places = [path.parents[1] / kind / f"{path.stem}{suffix}" for suffix in suffixes] if self.labelled else []
        return next(filter(is_file, places), None)

    def _scaled(self, pixels: np.ndarray, path: Path, like: tuple[int, ...] | None = None) -> Float[Tensor, "s s *c"]:
        height, width = pixels.shape[:2]
        side, needed = self.crop or min(height, width), self.crop or self.size
        if like is not None and like[:2] != (height, width):
            raise DataError(f"{path}: has {width}x{height} pixels, but its picture {like[1]}x{like[0]}; they must match")
        if needed > min(height, width):
            kind = "size" if self.crop is None else "crop"
            raise DataError(f"{path}: has {width}x{height} pixels, fewer than {kind}={needed} along a side; use a larger "
                            f"picture, or a smaller {kind}")
        pixels = middle(pixels, side)
        if side == self.size:
            return torch.from_numpy(pixels.astype(np.float32))
        small = Image.fromarray(pixels).resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(small, np.float32))


def _numbers(path: Path) -> Float[np.ndarray, "..."]:
    """The floats of an array's file, or of a tensor's, by itself or as ``latent`` in a dictionary."""
    with reading(path, "an array of floats"):
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False).astype(np.float32)
        content = torch.load(path, map_location="cpu", weights_only=True)
        return (content["latent"] if isinstance(content, Mapping) else content).float().numpy()
