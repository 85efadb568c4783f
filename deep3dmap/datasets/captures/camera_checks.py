"""Warnings about sets of individually valid cameras: duplicates, no common point in view, masks of other cameras."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS = 30
OFF_CENTER = 0.25
FEW_VIEWS = 3
NAMED = 6


@dataclass(frozen=True)
class CameraSet:
    """Cameras in the world, with the centroids of their masks.

    Attributes:
        names: of the views.
        K: (n, 3, 3) pinhole matrices.
        poses: (n, 3, 4) world to camera.
        size: (height, width) of the images.
        centroids: mean pixel coordinates of each mask and the radius of a disc of its area, or None.
    """

    names: Sequence[str]
    K: Float[np.ndarray, "n 3 3"]
    poses: Float[np.ndarray, "n 3 4"]
    size: tuple[int, int]
    centroids: Sequence[tuple[float, float, float] | None]

    def __len__(self) -> int:
        return len(self.names)

    def centers(self) -> Float[np.ndarray, "n 3"]:
        """Camera centres in the world."""
        return -np.einsum("nji,nj->ni", self.poses[:, :, :3], self.poses[:, :, 3])

    def directions(self) -> Float[np.ndarray, "n 3"]:
        """Unit directions in the world: through the masks' centroids if all have one, else the viewing axes."""
        if any(c is None for c in self.centroids):
            return self.poses[:, 2, :3]
        uv1 = np.array([(c[0], c[1], 1.0) for c in self.centroids])[..., None]
        d = (self.poses[:, :, :3].transpose(0, 2, 1) @ np.linalg.solve(self.K, uv1))[..., 0]
        return d / np.linalg.norm(d, axis=1, keepdims=True)

    def project(self, point: Float[np.ndarray, "3"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
        """Pixel coordinates and depth of one point in every camera."""
        x = (self.K @ self.poses @ np.append(point, 1.0)[:, None])[..., 0]
        depth = np.where(x[:, 2] == 0, np.finfo(float).tiny, x[:, 2])
        return x[:, :2] / depth[:, None], x[:, 2]


def common_point(centers: Float[np.ndarray, "n 3"], directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "3"] | None:
    """The point with the least sum of distances from lines (robust to outliers), or None if they are parallel.

    Iteratively reweighted least squares; each round solves for the point nearest to all weighted lines.
    """
    if len(centers) < 2:
        return None
    across = np.eye(3) - directions[:, :, None] * directions[:, None]
    offsets = (across @ centers[:, :, None])[..., 0]
    if np.linalg.eigvalsh(across.sum(0))[0] < 1e-6 * len(centers):
        return None
    floor = 1e-9 * (1 + np.ptp(centers))
    weights = np.ones(len(centers))
    for _ in range(ROUNDS):
        point = np.linalg.solve((weights[:, None, None] * across).sum(0), (weights[:, None] * offsets).sum(0))
        distance = np.linalg.norm((across @ point) - offsets, axis=1)
        weights = 1 / np.maximum(distance, floor)
        weights /= weights.max()
        weights = np.maximum(weights, 1e-6)
    return point


def alternative_conventions(poses: Float[Tensor, "n 3 4"]) -> list[tuple[str, Float[Tensor, "n 3 4"]]]:
    """World-to-camera poses under the other conventions that a file may use, each with a description of the difference.

    Conventions that differ by a rotation of the world are the same: it changes no silhouette.
    """
    turned = torch.diag(torch.tensor([1.0, -1.0, -1.0]).to(poses))
    rotations = poses[:, :, :3].mT
    inverse = torch.cat([rotations, -rotations @ poses[:, :, 3:]], -1)
    axes, direction = "OpenGL's camera axes for OpenCV's", "camera-to-world matrices for world-to-camera ones"
    return [(f"the poses read otherwise ({axes}, or the reverse)", turned @ poses),
            (f"the poses read otherwise ({direction}, or the reverse)", inverse),
            (f"the poses read otherwise ({axes} and {direction}, or the reverse)", turned @ inverse)]  # yapf: disable


def camera_warnings(cameras: CameraSet, point: Float[np.ndarray, "3"] | None) -> list[str]:
    """All warnings about the cameras, given the point they look at."""
    few = 1 < len(cameras) < FEW_VIEWS
    found = [f"only {len(cameras)} views; a surface needs more"] if few else []
    size = np.array(cameras.size[::-1])
    found += _duplicates(cameras) + _listing(
        cameras, (np.abs(cameras.K[:, :2, 2] - size / 2) > OFF_CENTER * size).any(1),
        "have a principal point far from the image centre; were they made for images of another size?")
    if point is None:
        if len(cameras) > 1:
            found.append("the cameras look in parallel directions; they have no common point")
        return found
    return found + _aim(cameras, point)


def sphere_warnings(cameras: CameraSet, scene_from_world: Float[np.ndarray, "4 4"]) -> list[str]:
    """Cameras that don't see the centre of the capture's unit sphere, or lie inside the sphere."""
    centers = cameras.centers() @ scene_from_world[:3, :3].T + scene_from_world[:3, 3]
    inside = np.linalg.norm(centers, axis=1) < 1
    uv, depth = cameras.project(np.linalg.inv(scene_from_world)[:3, 3])
    unseen = ~inside & ((depth <= 0) | ~_in_image(cameras, uv))
    return (
        _listing(cameras, inside, "lie inside the unit sphere (scale_mat): the object must be in it, the cameras outside") +
        _listing(cameras, unseen, "don't see the centre of the unit sphere (scale_mat); cameras and scale don't match"))


def _listing(cameras: CameraSet, which: np.ndarray, what: str) -> list[str]:
    """One line for the views that meet a condition; none if there are none."""
    names = [n for n, w in zip(cameras.names, which) if w]
    if not names:
        return []
    return [f"{len(names)} of {len(cameras)} cameras {what}: {listed(names)}"]


def listed(names: Sequence[str]) -> str:
    """The first names, and the number of others."""
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)


def _in_image(cameras: CameraSet, uv: np.ndarray) -> np.ndarray:
    return ((uv >= 0) & (uv <= cameras.size[::-1])).all(1)


def _duplicates(cameras: CameraSet) -> list[str]:
    """Groups of views with the same pose."""
    spread = max(float(np.ptp(cameras.centers(), axis=0).max()), 1e-12)
    poses = np.concatenate([cameras.centers() / spread, cameras.poses[:, :, :3].reshape(-1, 9)], 1)
    same = np.array([np.abs(poses - p).max(1) < 1e-6 for p in poses])
    first = same.argmax(1)  # the first view with each one's pose
    groups = [[cameras.names[k] for k in np.flatnonzero(first == view)] for view in np.unique(first)]
    return [f"the cameras of {listed(group) if len(group) > NAMED else ' and '.join([', '.join(group[:-1]), group[-1]])} have "
            "the same pose" for group in groups if len(group) > 1]  # yapf: disable


def _aim(cameras: CameraSet, point: np.ndarray) -> list[str]:
    """Views for which the common point is behind, out of the image, or away from the mask."""
    uv, depth = cameras.project(point)
    behind = depth <= 0
    if behind.sum() > len(cameras) / 2:
        return _listing(
            cameras, behind, "look away from the point where their axes meet; are they outward-looking, or is it "
            "another axes convention (OpenGL's y up, -z forward)?")
    unseen = ~behind & ~_in_image(cameras, uv)
    found = _listing(cameras, behind, "have the point that the others look at behind them")
    found += _listing(cameras, unseen, "don't have the point that the others look at in their image")
    astray = np.array([c is not None and np.hypot(*(p - c[:2])) > 2 * c[2] for p, c in zip(uv, cameras.centroids)], bool)
    return found + _listing(
        cameras, astray & ~behind, "have a mask far from the point that the others look at; do masks (or "
        "images) and cameras match?")
