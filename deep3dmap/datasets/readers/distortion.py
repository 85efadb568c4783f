"""Lens distortion of the OpenCV model (Brown 1966; k1, k2, p1, p2, k3), removed from images so that cameras are pinholes."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float

ZOOMS = np.linspace(0.5, 2, 601)


@dataclass(frozen=True)
class Distortion:
    """Coefficients that act on normalised camera coordinates (x/z, y/z)."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0

    def __bool__(self) -> bool:
        return any((self.k1, self.k2, self.p1, self.p2, self.k3))

    def apply(self, xy: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Distorted coordinates of ideal ones."""
        x, y = xy[..., 0], xy[..., 1]
        r2 = x**2 + y**2
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        return np.stack([
            x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x**2), y * radial + self.p1 *
            (r2 + 2 * y**2) + 2 * self.p2 * x * y
        ], -1)

    def fold_radius(self, limit: float) -> float:
        """The radius at which the radial part stops increasing, so that the mapping folds; at most the limit."""
        radius = np.linspace(0, limit, 1024)
        r2 = radius**2
        folded = 1 + r2 * (3 * self.k1 + r2 * (5 * self.k2 + r2 * 7 * self.k3)) <= 0
        return float(radius[folded.argmax()]) if folded.any() else limit


def undistortion(K: Float[np.ndarray, "3 3"], distortion: Distortion,
                 size: tuple[int, int]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "h w 2"]]:
    """A pinhole camera for a distorted image, and the source position of each of its pixels.

    The new camera has the old principal point, and focal lengths with the minimum zoom at which no pixel falls outside the
    image.

    Args:
        K: pinhole matrix in pixels, first pixel's centre at 0.5.
        distortion: of the image.
        size: its height and width.

    Returns:
        The new pinhole matrix; and (h, w, 2) float32 pixel coordinates in the distorted image, first pixel's centre at 0.

    Raises:
        ValueError: if the distortion is too strong for a pinhole camera of the same size.
    """
    return _undistortion(tuple(K.ravel().tolist()), distortion, size)


@lru_cache(maxsize=1)  # most captures have one camera
def _undistortion(entries: tuple[float, ...], distortion: Distortion, size: tuple[int, int]):
    K = np.reshape(entries, (3, 3))
    height, width = size
    u, v = np.arange(width) + 0.5, np.arange(height) + 0.5
    sides = ((u, 0.5), (u, height - 0.5), (0.5, v), (width - 0.5, v))
    border = _normalized(K, np.concatenate([np.stack(np.broadcast_arrays(a, b), -1) for a, b in sides]))
    radius = float(np.linalg.norm(border, axis=-1).max())
    source = _pixels(K, distortion.apply(border / ZOOMS[:, None, None]))
    fits = (np.abs(source - [width / 2, height / 2]) <= np.array([width - 1, height - 1]) / 2 + 1e-6).all((1, 2))
    fits &= radius / ZOOMS < distortion.fold_radius(1.01 * radius / ZOOMS[0])
    if not fits.any():
        raise ValueError("the distortion is too strong for a pinhole camera of the image's size")
    zoomed = K.copy()  # the smallest zoom at which all border pixels map inside the old image, without a fold
    zoomed[:2, :2] *= ZOOMS[fits.argmax()]
    v, u = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    source = _pixels(K, distortion.apply(_normalized(zoomed, np.stack([u, v], -1)))) - 0.5
    source = source.astype(np.float32)
    for shared in (zoomed, source):
        shared.flags.writeable = False
    return zoomed, source


def resample(pixels: np.ndarray, source: Float[np.ndarray, "h w 2"], nearest: bool = False) -> np.ndarray:
    """The pixels of an image (h, w) or (h, w, channels) at coordinates inside it, bilinearly or the nearest ones."""
    return cv2.remap(pixels, source, None, cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _normalized(K: np.ndarray, uv: np.ndarray) -> np.ndarray:
    y = (uv[..., 1] - K[1, 2]) / K[1, 1]
    return np.stack([(uv[..., 0] - K[0, 2] - K[0, 1] * y) / K[0, 0], y], -1)


def _pixels(K: np.ndarray, xy: np.ndarray) -> np.ndarray:
    return xy @ K[:2, :2].T + K[:2, 2]
