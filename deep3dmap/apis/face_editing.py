"""Editing the faces of a photograph through their textures: ``deep3dmap edit-face``."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8

from deep3dmap.apis.inference import load_framework, model_of
from deep3dmap.datasets.faces import FacePhotos
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.frameworks.cards import find_card
from deep3dmap.frameworks.prnet.editing import part_mask, retouched
from deep3dmap.frameworks.prnet.framework import PRNet
from deep3dmap.io.images import IMAGE_SUFFIXES, read_image, read_mask, write_image
from deep3dmap.io.paths import resolve_data
from deep3dmap.io.reading import is_file
from deep3dmap.io.videos import VIDEO_SUFFIXES
from deep3dmap.visualization.pictures import resize

SMALLEST, LARGEST = 256, 2048  # texels along an edge


def edit_face(photo: str | Path,
              output: str | Path = "edited.png",
              *,
              texture: Path | None = None,
              swap: Path | None = None,
              parts: Sequence[Literal["brows", "eyes", "nose", "mouth"]] = (),
              mask: Path | None = None,
              weights: str | Path | None = None,
              detector: str = "auto",
              device: str = "auto") -> Path:
    """Give the faces of a photograph another texture, or another person's.

    Args:
        photo: picture whose faces are edited.
        output: picture to write; none of those that are read.
        texture: picture in the layout of textures, for example an edited texture.png of ``deep3dmap reconstruct``.
        swap: photograph of the face to put in; of several, the largest.
        parts: of the face to replace (default: all of it).
        mask: picture in the layout of textures, white where to replace.
        weights: checkpoint or work folder of a trained PRNet (default: the package's).
        detector: of faces: auto, mtcnn, haar, lbp, none (a picture is one face), given (boxes in files).
        device: auto, cpu, cuda, cuda:1 ...

    Raises:
        ConfigError: unless exactly one of ``texture`` and ``swap`` is given, and at most one of ``parts`` and ``mask``; or
            without weights.
        DataError: if a picture can't be read, has no face, or can't be written in the format of the output's suffix; or if
            a folder or a video is given for one.
    """
    if (texture is None) == (swap is None) or (parts and mask is not None):
        raise ConfigError("edit-face needs either --texture or --swap, and takes one of --parts and --mask at most")
    output, photo, swap = Path(output), _single(photo), swap and _single(swap)
    if output.suffix.lower() not in IMAGE_SUFFIXES:
        raise DataError(f"{output}: the file name must end with one of {', '.join(IMAGE_SUFFIXES)}")
    if output.resolve() in [path.resolve() for path in (photo, swap, texture, mask) if path]:
        raise DataError(f"{output}: this picture is read, too; give another name to write to (-o)")
    weights = weights or find_card("prnet").weights
    if weights is None:
        raise ConfigError("edit-face needs a trained PRNet: give --weights CHECKPOINT (or a work folder)")
    framework = load_framework(model_of(weights, PRNet.__name__)[0], device)
    faces = FacePhotos(str(photo), detector)
    new = _texture_of(framework, swap, detector) if swap is not None else _squared(read_image(texture).numpy())
    where = part_mask(framework.layout, parts, len(new)) if mask is None else resize(_grey(mask), new.shape[:2])[..., 0] > 127
    image = faces[0]["img"]
    for item in faces:
        image = retouched(replace(framework.find_face(item["img"], item["box"]), image=image), new, where)
    write_image(output, torch.from_numpy(image))
    return output


def _single(photo: str | Path) -> Path:
    """The file of a picture that is given by its path, or its name below ``DEEP3DMAP_DATA``."""
    path = resolve_data(photo)
    if path.suffix.lower() in VIDEO_SUFFIXES or not is_file(path):
        raise DataError(f"{path}: edit-face takes single pictures, no folder and no video")
    return path


def _texture_of(framework: PRNet, photo: Path, detector: str) -> UInt8[np.ndarray, "t t 3"]:
    """The texture of a photograph's largest face; the side that it doesn't show is that of the other one."""
    item = FacePhotos(str(photo), detector)[0]
    face = framework.find_face(item["img"], item["box"])
    left, top, right, bottom = face.window
    return face.texture(min(max(right - left, bottom - top, SMALLEST), LARGEST), "mirrored")


def _squared(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "t t 3"]:
    return resize(picture, (max(picture.shape), ) * 2)


def _grey(mask: Path) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(255 * read_mask(mask).numpy().astype(np.uint8)[..., None], 3, -1)
