"""A capture of an analytic sphere on disk, for tests of scenes and of what is drawn from them."""

from pathlib import Path

import numpy as np
import torch

from deep3dmap.datasets.readers import idr
from deep3dmap.structures import Cameras, Capture
from tests.datasets.conftest import camera_ring

CENTER, RADIUS, SIZE = np.array([0.3, -0.2, 0.1]), 0.8, (48, 64)
NAMES = ("test_000", "test_001", "view_000", "view_001", "view_002", "view_003", "view_004")


def sphere_masks(K: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Pixels whose rays pass the sphere's centre at less than its radius."""
    v, u = np.mgrid[:SIZE[0], :SIZE[1]] + 0.5
    directions = np.einsum("ij,hwj->hwi", np.linalg.inv(K), np.stack([u, v, np.ones_like(u)], -1))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    centers = [pose[:, :3] @ CENTER + pose[:, 3] for pose in poses]
    return np.stack([np.linalg.norm(np.cross(directions, c), axis=-1) < RADIUS for c in centers])


def sphere_capture(similarity: torch.Tensor | None = None) -> Capture:
    """Seven views of a sphere; a pixel's colour is its column, its row and its view."""
    poses = camera_ring(len(NAMES), 4.0)
    K = np.array([[60.0, 0, 32.0], [0, 60.0, 24.0], [0, 0, 1.0]])
    v, u = np.mgrid[:SIZE[0], :SIZE[1]]
    images = np.stack([np.stack([u, v, np.full_like(u, k)], -1) for k in range(len(NAMES))]).astype(np.uint8)
    cameras = Cameras(torch.from_numpy(np.stack([K] * len(NAMES))), torch.from_numpy(poses), SIZE)
    return Capture(torch.from_numpy(images), cameras, NAMES, torch.from_numpy(sphere_masks(K, poses)), similarity)


def write_sphere(folder: Path, **arguments) -> Path:
    """The capture in IDR's format."""
    idr.write(sphere_capture(**arguments), folder)
    return folder
