"""Frames of a recording at a network's size: pictures resized, depth maps looked up at the pictures' pixels."""

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from deep3dmap.structures.recording import Recording

NEARLY = 0.01  # relative difference of two sides' ratios that is bridged by a border instead of a stretch


def frame_at(recording: Recording, index: int,
             size: tuple[int, int] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """A frame's picture (h, w, 3), its ``K``, and its depth map (h, w) at the same pixels, or None if there is none.

    Args:
        recording: that it is from.
        index: of the frame.
        size: height and width; that of the picture by default.
    """
    image, K = recording.image(index), recording.intrinsics[index]
    if size is not None and image.shape[:2] != tuple(size):
        image, K = resized(image, K, size)
    if recording.depth_intrinsics is None:
        return image, K, None
    return image, K, depth_at(recording.depth(index), recording.depth_intrinsics[index], K, image.shape[:2])


def resized(image: UInt8[np.ndarray, "h w 3"], K: Float[np.ndarray, "3 3"],
            size: tuple[int, int]) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Float[np.ndarray, "3 3"]]:
    """A picture and its ``K`` at another size; bilinear, averaging where it shrinks.

    If the ratio of the sides is nearly the same, a black border makes it equal first (as NeuralRecon does with ScanNet's
    1296x968); else the picture is stretched, and focal lengths differ.
    """
    (height, width), K = image.shape[:2], K.copy()
    ratio = (width * size[0]) / (height * size[1])
    if 0 < abs(ratio - 1) < NEARLY:
        rows, columns = (round(width * size[0] / size[1]) - height,
                         0) if ratio > 1 else (0, round(height * size[1] / size[0]) - width)
        top, left = rows // 2, columns // 2
        image = np.pad(image, ((top, rows - top), (left, columns - left), (0, 0)))
        K[0, 2], K[1, 2] = K[0, 2] + left, K[1, 2] + top
        height, width = image.shape[:2]
    K[:2] *= np.array([[size[1] / width], [size[0] / height]])
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)), K


def depth_at(depth: Float32[np.ndarray, "h w"], depth_K: Float[np.ndarray, "3 3"], K: Float[np.ndarray, "3 3"],
             size: tuple[int, int]) -> Float32[np.ndarray, "h2 w2"]:
    """A depth map at the pixels of a picture from the same place: the nearest pixel's value, 0 outside of the map.

    Args:
        depth: along z, metres.
        depth_K: of the depth map.
        K: of the picture, first pixel's centre at 0.5, without skew.
        size: height and width of the picture.
    """
    columns = np.floor((np.arange(size[1]) + 0.5 - K[0, 2]) * (depth_K[0, 0] / K[0, 0]) + depth_K[0, 2] + 1e-6).astype(int)
    rows = np.floor((np.arange(size[0]) + 0.5 - K[1, 2]) * (depth_K[1, 1] / K[1, 1]) + depth_K[1, 2] + 1e-6).astype(int)
    inside = ((rows >= 0) & (rows < depth.shape[0]))[:, None] & ((columns >= 0) & (columns < depth.shape[1]))
    found = depth[np.clip(rows, 0, depth.shape[0] - 1)[:, None], np.clip(columns, 0, depth.shape[1] - 1)]
    return np.where(inside, found, np.float32(0))
