"""Images on disk and in pages: atomically written PNG files, labelled strips, thumbnails as data URIs."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from deep3dmap.errors import DataError
from deep3dmap.io.files import replacing
from deep3dmap.visualization.colormaps import colorize

LABEL_HEIGHT, GAP = 22, 6


def as_uint8(image: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Any common image as 8-bit RGB: (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, bool or floats in [0, 1].

    Floats are clipped, non-finite ones become 0; an alpha channel is dropped.

    Raises:
        DataError: if the shape or the type is none of these.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise DataError(f"an image has shape {image.shape}; expected (height, width), or with 1, 3 or 4 channels.")
    if image.dtype == bool:
        image = image.astype(np.uint8) * 255
    elif np.issubdtype(image.dtype, np.floating):
        image = np.round(255 * np.nan_to_num(image, posinf=0, neginf=0).clip(0, 1)).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise DataError(f"an image has type {image.dtype}; expected uint8, bool, or floats between 0 and 1.")
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3)))


def save_image(path: str | Path, image: np.ndarray) -> Path:
    """Write an image (see ``as_uint8``) as PNG, atomically; returns its path."""
    pixels = as_uint8(image)
    with replacing(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
    return Path(path)


def resize(image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image resampled to ``size`` (height, width), anti-aliased when shrinking."""
    if image.shape[:2] == tuple(size):
        return image
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS))


def label_strip(pictures: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    """Images side by side on white, scaled to the height of the first, each with its name above.

    Args:
        pictures: name to image (see ``as_uint8``), from left to right.

    Raises:
        DataError: if there is no image, or one of them is not an image.
    """
    if not pictures:
        raise DataError("a strip needs at least one image.")
    images = [as_uint8(p) for p in pictures.values()]
    height = images[0].shape[0]
    images = [resize(i, (height, max(1, round(i.shape[1] * height / i.shape[0])))) for i in images]
    strip = Image.new("RGB", (sum(i.shape[1] for i in images) + GAP * (len(images) - 1), height + LABEL_HEIGHT), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(13)
    x = 0
    for name, image in zip(pictures, images):
        draw.text((x + 3, 3), _shortened(name, draw, font, image.shape[1] - 6), "black", font)
        strip.paste(Image.fromarray(image), (x, LABEL_HEIGHT))
        x += image.shape[1] + GAP
    return np.array(strip)


def _shortened(text: str, draw: ImageDraw.ImageDraw, font, width: float) -> str:
    """The text, truncated to at most ``width`` pixels."""
    while text and draw.textlength(text, font) > width:
        text = text[:-2] + "." if len(text) > 1 else ""
    return text


def difference_map(photo: UInt8[np.ndarray, "h w 3"],
                   rendering: UInt8[np.ndarray, "h w 3"],
                   mask: Bool[np.ndarray, "h w"] | None = None,
                   maximum: float = 0.25) -> UInt8[np.ndarray, "h w 3"]:
    """Per-pixel difference of two images: the mean over the channels of ``|a - b|``, black where equal.

    Args:
        photo: 8-bit RGB.
        rendering: 8-bit RGB of the same size.
        mask: where to compare; the rest is black.
        maximum: difference (of a range of 1) of the brightest colour.
    """
    distance = np.abs(photo.astype(np.float32) - rendering.astype(np.float32)).mean(-1) / 255
    return colorize(distance if mask is None else distance * mask, maximum, name="difference")


def normal_map(
    normals: Float[np.ndarray, "h w 3"],
    mask: Bool[np.ndarray, "h w"] | None = None,
    background: tuple[int, int, int] = (255, 255, 255)) -> UInt8[np.ndarray, "h w 3"]:
    """Unit normals as colours: ``(n + 1) / 2``. Pixels outside the mask get the background."""
    colors = as_uint8((normals + 1) / 2)
    return colors if mask is None else np.where(mask[..., None], colors, np.array(background, np.uint8))


def thumbnail(image: UInt8[np.ndarray, "h w 3"], side: int) -> str:
    """A JPEG as a ``data:`` URI, scaled down (never up) so that its longer side is at most ``side`` pixels."""
    scale = min(1.0, side / max(image.shape[:2]))
    size = tuple(max(1, round(n * scale)) for n in image.shape[:2])
    stream = io.BytesIO()
    Image.fromarray(resize(image, size)).save(stream, "JPEG", quality=85, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
