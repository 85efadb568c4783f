"""Depth maps of analytic scenes."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry.lookat import look_at
from deep3dmap.geometry.tsdf import DepthFrame

SIZE, RADIUS = (48, 64), 0.5
K = np.array([[70.0, 0, 31.3], [0, 72.0, 24.9], [0, 0, 1]])


def rays():
    """Directions (h, w, 3) with z = 1 through the pixels' centres."""
    rows, columns = np.meshgrid(*(np.arange(n) + 0.5 for n in SIZE), indexing="ij")
    return np.stack([(columns - K[0, 2]) / K[0, 0], (rows - K[1, 2]) / K[1, 1], np.ones(SIZE)], -1)


def sphere_frame(eye):
    """The unit-coloured sphere around the origin, red where x > 0 and blue elsewhere."""
    cam = look_at(torch.tensor([eye], dtype=torch.float64), torch.zeros(3, dtype=torch.float64), (0.0, 0.0, 1.0))[0].numpy()
    pose = np.linalg.inv(np.concatenate([cam, [[0, 0, 0, 1.0]]]))
    world = rays() @ pose[:3, :3].T
    a, b, c = (world**2).sum(-1), world @ pose[:3, 3], (pose[:3, 3]**2).sum() - RADIUS**2
    root = b**2 - a * c
    depth = np.where(root > 0, (-b - np.sqrt(root.clip(0))) / a, 0)
    red = (pose[:3, 3] + depth[..., None] * world)[..., 0] > 0
    image = np.where(red[..., None], [200, 0, 0], [0, 0, 200]).astype(np.uint8)
    return DepthFrame(depth.astype(np.float32), K, pose, image)


@pytest.fixture
def sphere():
    """Depth maps of a sphere of radius 0.5 m from six sides and two corners."""
    eyes = [(1.6, 0.0, 0.0), (-1.6, 0.0, 0.0), (0.0, 1.6, 0.0), (0.0, -1.6, 0.0), (0.1, 0.0, 1.6), (0.1, 0.0, -1.6),
            (1.0, 1.0, 1.0), (-1.0, -1.0, 1.0)]  # yapf: disable
    return [sphere_frame(eye) for eye in eyes]
