"""Random pictures of a trained generator: ``deep3dmap generate``."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from deep3dmap.apis.inference import load_framework, model_of
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.stylegan2 import StyleGAN2
from deep3dmap.io.files import write_atomically
from deep3dmap.io.npz import npz_bytes
from deep3dmap.io.reading import output_folder, reaching
from deep3dmap.ranges import Count, NotNegative, Positive, Whole
from deep3dmap.visualization.pictures import as_uint8, resize, save_image
from deep3dmap.visualization.video import write_video

BATCH = 16
SHOWN = 64  # pictures on the sheet at most
SMALLEST = 256  # side of a video, pixels


def generate(checkpoint: str | Path,
             output: str | Path = "generated",
             *,
             sample: Count = 16,
             truncation: NotNegative = 1.0,
             truncation_mean: Count = 4096,
             seed: Whole = 0,
             interpolate: bool = False,
             seconds: Positive = 1.0,
             fps: Positive = 24.0,
             device: str = "auto") -> Path:
    """Write random pictures of a trained StyleGAN2, with their latents.

    Writes ``images/000000.png`` and so on, ``latents.npz`` (``z`` and the truncated styles ``w``, a row for each picture), and
    ``sheet.png``; to interpolate also ``interpolation.mp4``. A picture depends on the seed and its number alone, apart from
    rounding.

    Args:
        checkpoint: checkpoint, or a work folder: its best by validation, else its newest; or zoo:faces_64, the GAN of faces
            that comes with the package.
        output: folder to write to.
        sample: number of pictures.
        truncation: share of the styles' distance from their mean; below 1, pictures are better and more alike.
        truncation_mean: number of styles that this mean is of.
        seed: of the pictures.
        interpolate: also write a video from each picture to the next, and back to the first.
        seconds: of the video, from one picture to the next.
        fps: frames per second of the video.
        device: auto, cpu, cuda ...

    Returns:
        The folder.

    Raises:
        CheckpointError: if there is no usable checkpoint, or it is of another framework.
        ConfigError: if a video is asked for from a single picture.
    """
    if interpolate and sample < 2:
        raise ConfigError("an interpolation needs two pictures or more: --sample 2")
    framework = load_framework(model_of(checkpoint, StyleGAN2.__name__)[0], device)
    folder = output_folder(output)
    z = framework.latents(sample, seed)
    with torch.no_grad():
        mean = framework.generator.mean_style(truncation_mean)
        w = framework.styles(z, truncation, mean)
    images = list(_pictures(framework, w))
    with reaching(folder):
        (folder / "images").mkdir(exist_ok=True)
        for number, image in enumerate(images):
            save_image(folder / "images" / f"{number:06d}.png", image)
        write_atomically(folder / "latents.npz", npz_bytes(z=z.numpy(), w=w.cpu().numpy()))
        save_image(folder / "sheet.png", sheet(images[:SHOWN]))
        if interpolate:
            steps = max(round(seconds * fps), 1)
            write_video(map(_enlarged, _pictures(framework, between(w, steps))), folder / "interpolation.mp4", fps)
    return folder


def _pictures(framework: StyleGAN2, w: Float[Tensor, "n style"]) -> Iterator[UInt8[np.ndarray, "s s 3"]]:
    for part in w.split(BATCH):
        yield from map(as_uint8, framework.pictures(part).permute(0, 2, 3, 1).cpu().numpy())


def between(w: Float[Tensor, "n style"], steps: int) -> Float[Tensor, "m style"]:
    """Styles on straight lines from each one to the next, and from the last to the first.

    Args:
        w: styles.
        steps: from one to the next.
    """
    share = torch.arange(steps, device=w.device)[:, None] / steps
    return torch.cat([torch.lerp(first, second, share.to(w)) for first, second in zip(w, w.roll(-1, 0))])


def _enlarged(image: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "t t 3"]:
    return resize(image, (max(len(image), SMALLEST), ) * 2)


def sheet(images: list[UInt8[np.ndarray, "s s 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Pictures of one size in rows, on white."""
    columns = math.ceil(math.sqrt(len(images)))
    missing = [np.full_like(images[0], 255)] * (-len(images) % columns)
    tiles = np.stack([*images, *missing]).reshape(-1, columns, *images[0].shape)
    return np.concatenate(np.concatenate(tiles.transpose(1, 0, 2, 3, 4), 2), 0)
