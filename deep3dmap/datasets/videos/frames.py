"""Frames of a recording at a network's size: pictures resized, depth maps looked up at the pictures' pixels."""

import numpy as np
from jaxtyping import Float, Float32

from deep3dmap.geometry.fragments import resize_view
from deep3dmap.structures.recording import Recording


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
        image, K = resize_view(image, K, tuple(size[::-1]))
    if recording.depth_intrinsics is None:
        return image, K, None
    return image, K, depth_at(recording.depth(index), recording.depth_intrinsics[index], K, image.shape[:2])


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
