"""A depth map with its camera, as it is fused."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8


@dataclass(frozen=True)
class DepthFrame:
    """A depth map with its camera, and a picture of the same moment if there is one.

    ``K`` is the house's: the first pixel's centre is at 0.5. Codes that round projected coordinates to pixels (Zeng's
    tsdf-fusion, Atlas, NeuralRecon) have it at 0: add 0.5 to the principal point of their ``K``.

    Attributes:
        depth: along the camera's z axis, metres; 0 (or not finite) where it is unknown.
        K: of the depth map, pixels.
        pose: camera to world, OpenCV's axes, metres.
        image: colours, of any size.
        image_intrinsics: of the picture; that of the depth map by default.
    """

    depth: Float32[np.ndarray, "h w"]
    K: Float[np.ndarray, "3 3"]
    pose: Float[np.ndarray, "4 4"]
    image: UInt8[np.ndarray, "h2 w2 3"] | None = None
    image_intrinsics: Float[np.ndarray, "3 3"] | None = None

    @property
    def world_to_cam(self) -> Float[np.ndarray, "3 4"]:
        """The inverse of the pose."""
        return np.linalg.inv(self.pose.astype(np.float64))[:3]

    def picture(self) -> tuple[UInt8[np.ndarray, "h3 w3 3"], Float[np.ndarray, "4"]]:
        """The picture, empty if there is none, and its focal lengths and principal point."""
        K = self.K if self.image_intrinsics is None else self.image_intrinsics
        image = np.empty((0, 0, 3), np.uint8) if self.image is None else np.ascontiguousarray(self.image)
        return image, pinhole(K)


def pinhole(K: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """``fx, fy, cx, cy`` of a camera without skew."""
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], np.float64)
