"""A folder of pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from deep3dmap.annotations import Count
from deep3dmap.datasets.kinds import ItemDataset
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.io.images import image_size, images_below, read_image
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import reaching
from deep3dmap.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(ItemDataset):
    """The pictures in a folder and its subfolders: of each the largest square in its middle, scaled to one size.

    An item has ``img`` (s, s, 3) uint8 RGB, upright by its EXIF orientation. It is named after its path below the folder.

    Args:
        folder: a path, or a name below ``DEEP3DMAP_DATA``.
        size: of the pictures, pixels.
        first, last: use only the pictures from this one up to before that one, in alphabetical order, to hold some out;
            negative ones count from the end.
        pipeline: see :class:`ItemDataset`.

    Raises:
        DataError: if there is no picture, or one is smaller than ``size``.
        ConfigError: if ``first`` and ``last`` leave none.
    """

    def __init__(self,
                 folder: str,
                 size: Count,
                 first: int | None = None,
                 last: int | None = None,
                 pipeline: Sequence[Mapping] = ()):
        super().__init__(pipeline)
        self.folder, self.size = resolve_data(folder), size
        with reaching(self.folder):
            paths = images_below(self.folder)
        if not paths:
            raise DataError(f"{self.folder}: no pictures in this folder or below")
        self.paths = paths[first:last]
        if not self.paths:
            raise ConfigError(f"ImageFolder: first={first} and last={last} leave none of the {len(paths)} pictures in "
                              f"{self.folder}")
        for path in self.paths:
            if min(side := image_size(path)) < size:
                raise DataError(f"{path}: the picture has {side[1]}x{side[0]} pixels, fewer than size={size} along a side; "
                                "enlarge it or leave it out")

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int) -> dict:
        """A picture."""
        path = self.paths[index]
        return dict(name=path.relative_to(self.folder).as_posix(),
                    img=squared(read_image(path, upright=True).numpy(), self.size))


def squared(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The largest square in the middle of a picture, scaled to a size."""
    square = middle(image, min(image.shape[:2]))
    return np.array(Image.fromarray(square).resize((size, size), Image.Resampling.LANCZOS) if len(square) != size else square)


def middle(pixels: Shaped[np.ndarray, "h w *c"], side: int) -> Shaped[np.ndarray, "s s *c"]:
    """The square in the middle of a picture."""
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top:top + side, left:left + side]
