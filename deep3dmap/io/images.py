"""Photographs and masks on disk: 8-bit RGB tensors and boolean tensors, with errors that name the file.

EXIF orientation is ignored by default, as by the programs that calibrate cameras on the stored pixels.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from deep3dmap.errors import DataError
from deep3dmap.io.files import replacing
from deep3dmap.io.reading import is_text, printable, reading

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
DECODERS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")  # whatever a file's suffix: others may run programs (EPS)
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, sorted by name; none if there is no such folder.

    Raises:
        DataError: if a file's name isn't valid UTF-8.
    """
    return _images(folder.iterdir()) if folder.is_dir() else []


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and its subfolders; see :func:`image_files`."""
    return _images(folder.rglob("*"))


def _images(paths: Iterable[Path]) -> list[Path]:
    found = sorted(p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    for path in found:
        if not is_text(str(path)):
            raise DataError(f"{printable(path)}: the file's name isn't valid UTF-8; rename it")
    return found


def trailing_number(path: Path) -> int | None:
    """The number at the end of a file's name (``templeSR0007.png`` -> 7), or None."""
    digits = re.search(r"(\d+)$", path.stem)
    return int(digits[1]) if digits else None


@contextmanager
def safe_decoders() -> Iterator[None]:
    """Restricts a library's own use of Pillow, such as for a mesh's textures, to :data:`DECODERS`."""
    Image.init()
    formats = Image.ID[:]
    Image.ID[:] = DECODERS
    try:
        yield
    finally:
        Image.ID[:] = formats


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file opened by Pillow; any decoder exception becomes a DataError that names the file."""
    with reading(path, "an image"), Image.open(path, formats=DECODERS) as picture:
        if not (picture.width and picture.height):
            raise DataError(f"{path}: the image has no pixels ({picture.width}x{picture.height})")
        yield picture


def image_size(path: Path) -> tuple[int, int]:
    """Height and width that an image file's header states.

    Raises:
        DataError: if the file is missing or not an image.
    """
    with _opened(path) as picture:
        return picture.height, picture.width


def read_image(path: Path, upright: bool = False) -> UInt8[Tensor, "h w 3"]:
    """The RGB colours of an image file; see :func:`read_image_and_alpha`."""
    return read_image_and_alpha(path, upright)[0]


def read_image_and_alpha(path: Path, upright: bool = False) -> tuple[UInt8[Tensor, "h w 3"], Bool[Tensor, "h w"] | None]:
    """The RGB colours of an image file, and where its alpha channel is opaque (None if it has no alpha channel).

    Grey images are expanded, palettes and CMYK converted, 16-bit grey rounded to 8 bits; colours are not multiplied by alpha.

    Args:
        path: of the file.
        upright: turn the image as its EXIF orientation says, for pictures that were taken to be looked at.

    Raises:
        DataError: if the file is missing, damaged, or of a kind whose range is not known (floating point, 32-bit integers).
    """
    with _opened(path) as picture:
        alpha = None
        picture = ImageOps.exif_transpose(picture) if upright else picture
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            alpha = torch.from_numpy(np.array(picture.getchannel("A")) > 127.5)
        return torch.from_numpy(np.array(_to_8bit(picture, path).convert("RGB"))), alpha


def read_mask(path: Path) -> Bool[Tensor, "h w"]:
    """A mask file: True where its grey value is above 127.5 (of 255).

    Raises:
        DataError: if the file is missing or damaged, or if its largest value is 1, i.e. a mask saved without scaling.
    """
    with _opened(path) as picture:
        grey = np.array(_to_8bit(picture, path).convert("RGB").convert("F"))
    if 0 < grey.max() <= 1:
        raise DataError(f"{path}: the mask's largest value is {grey.max():g}; the object must be 255 and the rest 0: "
                        "multiply it by 255")
    return torch.from_numpy(grey > 127.5)


def _to_8bit(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode in SIXTEEN_BIT:
        return Image.fromarray(np.round(np.asarray(picture).astype(np.float64) / 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise DataError(f"{path}: pixels of type '{picture.mode}' (32 bits) have no known range; save it with 8 or 16 bits")
    return picture


def check_mask_size(mask: Path, mask_size: tuple[int, int], image: Path, size: tuple[int, int], folder: Path) -> None:
    """Compare a mask's (height, width) with that of its image.

    Raises:
        DataError: if they differ, naming both files and sizes.
    """
    if tuple(mask_size) != tuple(size):
        raise DataError(f"{mask}: mask is {size_text(mask_size)} but its image {image} is {size_text(size)}.\n"
                        f"Masks must match their images; `deep3dmap check {folder}` lists every mismatch.")


def size_text(size: tuple[int, int]) -> str:
    """(height, width) formatted as width x height."""
    return f"{size[1]}x{size[0]}"


def write_image(path: Path,
                image: UInt8[Tensor, "h w 3"] | Float[Tensor, "h w 3"],
                alpha: Bool[Tensor, "h w"] | None = None) -> None:
    """Write an image (uint8, or float in [0, 1]) in the format of the file's ending, with a mask as its alpha channel."""
    pixels = image if image.dtype == torch.uint8 else (image.clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = pixels.cpu().numpy()
    if alpha is not None:
        pixels = np.concatenate([pixels, alpha.cpu().numpy()[..., None].astype(np.uint8) * 255], -1)
    _save(path, pixels)


def write_mask(path: Path, mask: Bool[Tensor, "h w"]) -> None:
    """Write a mask as an 8-bit grey image: 255 on the object, 0 elsewhere."""
    _save(path, mask.cpu().numpy().astype(np.uint8) * 255)


def _save(path: Path, pixels: np.ndarray) -> None:
    with replacing(path) as part:
        Image.fromarray(pixels).save(part)
