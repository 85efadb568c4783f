"""Loads the views that a file describes into a Capture: reads pixels, undistorts images, compares sizes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from deep3dmap.datasets.readers.base import Frame, Scan, frame_problems
from deep3dmap.datasets.readers.distortion import resample, undistortion
from deep3dmap.errors import DataError
from deep3dmap.io.images import check_mask_size, image_size, read_image_and_alpha, read_mask, size_text
from deep3dmap.io.reading import is_file, sha256_of
from deep3dmap.registry import nearest
from deep3dmap.structures import Cameras, Capture


@dataclass(frozen=True)
class View:
    """One view with its pixels, undistorted."""

    image: UInt8[Tensor, "h w 3"]
    mask: Bool[Tensor, "h w"] | None
    K: Float[np.ndarray, "3 3"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


def select(frames: Sequence[Frame], views: Sequence[str] | None, folder: Path) -> list[Frame]:
    """The views of the given names (or images' file names), in that order; all of them for None.

    Raises:
        DataError: if there are no views, a name is unknown (names the nearest), or one is requested twice.
    """
    if not frames:
        raise DataError(f"{folder}: holds no views")
    if views is None:
        return list(frames)
    by_name = {f.image.name: f for f in frames} | {f.name: f for f in frames}
    for view in views:
        if view not in by_name:
            raise DataError(f"{folder}: no view named '{view}': {nearest(str(view), [f.name for f in frames])}")
    chosen = [by_name[v] for v in views]
    if not chosen or len({f.name for f in chosen}) < len(chosen):
        raise DataError(f"{folder}: choose at least one view, each only once; got {list(views)}")
    return chosen


def load_view(frame: Frame, folder: Path, rescale: bool = False) -> View:
    """A view's image and mask (from its file, else from the image's alpha channel), free of lens distortion.

    Raises:
        DataError: if a file is missing or damaged, sizes are inconsistent, or the distortion can't be removed.
    """
    if not is_file(frame.image):
        raise DataError(f"{frame.image}: no such image file; it belongs to {frame.where}")
    image, mask = read_image_and_alpha(frame.image)
    size = (image.shape[0], image.shape[1])
    if frame.mask is not None:
        mask = read_mask(frame.mask)
        check_mask_size(frame.mask, (mask.shape[0], mask.shape[1]), frame.image, size, folder)
    frame = _fit_to_image(frame, size, rescale)
    if not frame.distortion:
        return View(image, mask, frame.K)
    K, source = _undistortion(frame, size)
    image = torch.from_numpy(resample(image.numpy(), source))
    if mask is not None:
        mask = torch.from_numpy(resample(mask.numpy().astype(np.uint8) * 255, source) > 127.5)
    return View(image, mask, K)


def pinhole(frame: Frame, rescale: bool = False) -> tuple[Float[np.ndarray, "3 3"], tuple[int, int]]:
    """The pinhole matrix of :func:`load_view`, and the image's (height, width), without reading pixels.

    Raises:
        DataError: as there.
    """
    size = image_size(frame.image)
    frame = _fit_to_image(frame, size, rescale)
    return (_undistortion(frame, size)[0] if frame.distortion else frame.K), size


def _undistortion(frame: Frame, size: tuple[int, int]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "h w 2"]]:
    try:
        return undistortion(frame.K, frame.distortion, size)
    except ValueError as error:
        raise DataError(f"{frame.where}: {error}; undistort the images first (for example with COLMAP)") from None


def _fit_to_image(frame: Frame, size: tuple[int, int], rescale: bool) -> Frame:
    if frame.size is None or frame.size == size:
        return frame
    if not rescale:
        raise DataError(f"{frame.image}: the image is {size_text(size)} but {frame.where} says {size_text(frame.size)}.\n"
                        "Use the images that the cameras were computed for, or recompute the cameras.")
    scale = np.array([size[1] / frame.size[1], size[0] / frame.size[0], 1.0])
    return replace(frame, K=scale[:, None] * frame.K, size=size)


def assemble(scan: Scan, views: Sequence[str] | None = None) -> Capture:
    """Read the pixels of a scan's views (or of some of them) into a Capture.

    Raises:
        DataError: for the first problem; says how many more there are.
    """
    frames = select(scan.frames, views, scan.folder) if scan.frames or not scan.problems else []
    problems = scan.problems + [p for f in frames for p in frame_problems(f)]
    if problems:
        more = f"\n(and {len(problems) - 1} more: `deep3dmap check {scan.folder}`)" if len(problems) > 1 else ""
        raise DataError(problems[0] + more)
    images, masks, matrices = _load_all(frames, scan)
    size = (images.shape[1], images.shape[2])
    poses = torch.from_numpy(np.stack([f.world_to_cam for f in frames]).astype(np.float64))
    cameras = Cameras(torch.from_numpy(np.stack(matrices).astype(np.float64)), poses, size)
    similarity = None if scan.scene_from_world is None else torch.from_numpy(scan.scene_from_world.astype(np.float64))
    masked = "with" if masks is not None else "without"
    source = f"{scan.format}: {len(frames)} views of {size_text(size)} {masked} masks from {scan.file}"
    names = tuple(f.name for f in frames)
    # checksums of files, not of pixels and matrices: those may be rounded differently on another machine
    files = [sha256_of(path) for path in (scan.file, *scan.more_files)]
    views = (files + [sha256_of(path) for path in (frame.image, frame.mask) if path] for frame in frames)
    checksums = tuple(hashlib.sha256("".join(each).encode()).hexdigest()[:16] for each in views)
    return Capture(images, cameras, names, masks, similarity, scan.mesh, source=source, landmarks=scan.landmarks,
                   checksums=checksums)  # yapf: disable


def _load_all(frames: Sequence[Frame], scan: Scan):
    """All pixels, in tensors allocated once: images, masks or None, and the pinhole matrices."""
    images, masks, matrices, unmasked = None, None, [], []
    for i, frame in enumerate(frames):
        view = load_view(frame, scan.folder, scan.rescale)
        if images is None:
            images = torch.empty((len(frames), *view.image.shape), dtype=torch.uint8)
            masks = torch.ones(images.shape[:3], dtype=torch.bool)
        check_same_size(frame, view.size, frames[0], (images.shape[1], images.shape[2]))
        images[i] = view.image
        if view.mask is None:
            unmasked.append(frame)
        else:
            masks[i] = view.mask
        matrices.append(view.K)
    if masks.all() and all(f.mask is None for f in frames):  # no alpha channels, or fully opaque ones
        return images, None, matrices
    if unmasked:
        raise DataError(f"{unmasked[0].image}: has no mask, but {len(frames) - len(unmasked)} of the other images have one; "
                        "provide a mask for every image, or none")
    return images, masks, matrices


def check_same_size(frame: Frame, size: tuple[int, int], first: Frame, first_size: tuple[int, int]) -> None:
    """Compare an image's (height, width) with that of the first.

    Raises:
        DataError: if they differ, naming both files.
    """
    if size != first_size:
        raise DataError(f"{frame.image} is {size_text(size)} but {first.image} is {size_text(first_size)}; "
                        "all images of a capture must have one size")
