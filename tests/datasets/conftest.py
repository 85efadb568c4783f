"""A small posed capture for tests of readers, writers and checks."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.structures import Cameras, Capture

VIEWS, HEIGHT, WIDTH = 5, 12, 16


def looking_at_origin(center) -> np.ndarray:
    """[R | t] of a camera whose z axis points from ``center`` to the origin, y down; written out without the package."""
    z = -np.asarray(center, float) / np.linalg.norm(center)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    return np.concatenate([R, -R @ np.reshape(center, (3, 1))], 1)


def camera_ring(count: int = VIEWS, radius: float = 3.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    heights = 0.4 * np.arange(count) - 0.5
    centers = np.stack([radius * np.cos(angle), radius * np.sin(angle), heights], 1)
    return np.stack([looking_at_origin(c) for c in centers])


def disc(center=(8.0, 6.0), radius: float = 3.5) -> np.ndarray:
    v, u = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (u - center[0])**2 + (v - center[1])**2 < radius**2


@pytest.fixture
def make_capture():
    """Builder of the capture: random images, masks of a disc, five cameras of different lenses around the origin."""

    def build(skew: bool = False, masks: bool = True, normalised: bool = False) -> Capture:
        generator = torch.Generator().manual_seed(3)
        K = torch.zeros(VIEWS, 3, 3, dtype=torch.float64)
        for i in range(VIEWS):
            K[i] = torch.tensor([[20.0 + i, 0.7 * skew, 7.6], [0.0, 18.5 - i, 6.3], [0.0, 0.0, 1.0]])
        images = torch.randint(0, 256, (VIEWS, HEIGHT, WIDTH, 3), generator=generator, dtype=torch.uint8)
        cameras = Cameras(K, torch.from_numpy(camera_ring()), (HEIGHT, WIDTH))
        similarity = torch.tensor([[0.0, -0.5, 0, 0.1], [0.5, 0, 0, 0.2], [0, 0, 0.5, -0.3], [0, 0, 0, 1]],
                                  dtype=torch.float64)
        silhouettes = torch.from_numpy(np.stack([disc(radius=3 + 0.3 * i) for i in range(VIEWS)])) if masks else None
        names = tuple(f"view_{i:03d}" for i in range(VIEWS))
        return Capture(images, cameras, names, silhouettes, similarity if normalised else None)

    return build


@pytest.fixture(scope="module")
def place():
    """A new folder for each example, in memory where that is possible; the one before it goes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as root:

        def make() -> Path:
            for old in Path(root).iterdir():
                shutil.rmtree(old, ignore_errors=True)
            return Path(tempfile.mkdtemp(dir=root))

        yield make
