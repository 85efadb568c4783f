"""Shared by the tests of mesh renderers: cameras around a scene, and small meshes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import trimesh
from torch import Tensor

from deep3dmap.structures import Cameras, Meshes, OrthographicCameras


def poses(number: int, distance: float, seed: int = 0) -> Tensor:
    """world_to_cam (n, 3, 4) of cameras with random rotations, so far before the origin."""
    rotations = trimesh.transformations.random_rotation_matrix
    random = np.random.default_rng(seed)
    R = torch.tensor(np.stack([rotations(random.random(3))[:3, :3] for _ in range(number)]))
    return torch.cat([R, torch.tensor([0.0, 0.0, distance]).expand(number, 3)[..., None]], -1)


def cameras(number: int,
            size: tuple[int, int],
            kind: type[Cameras] = Cameras,
            distance: float = 3.0,
            seed: int = 0) -> Cameras:
    """Double-precision cameras of unequal focal lengths, off-centre, that see a unit ball at the origin whole."""
    focal = (0.35 if kind is OrthographicCameras else 0.35 * distance) * min(size)
    K = torch.tensor([[focal, 0, 0.53 * size[1]], [0, 1.1 * focal, 0.46 * size[0]], [0, 0, 1]], dtype=torch.float64)
    return kind(K.expand(number, 3, 3), poses(number, distance, seed), size)


def ball(subdivisions: int = 2) -> Meshes:
    """A bumpy ball within the unit ball, double precision."""
    return unit(trimesh.creation.icosphere(subdivisions, 0.8), bumps=0.2)


def unit(mesh: trimesh.Trimesh, bumps: float = 0.0) -> Meshes:
    """A mesh moved and scaled into the unit ball, double precision."""
    points = mesh.vertices - mesh.bounds.mean(0)
    points = points / np.linalg.norm(points, axis=1).max()
    points = points * (1 - bumps + bumps * np.sin(5 * points[:, :1]) * np.cos(4 * points[:, 1:2]))
    return Meshes.pack([torch.tensor(points)], [torch.tensor(np.asarray(mesh.faces))])


def loaded(path: Path) -> Meshes:
    """A mesh file, in the unit ball."""
    return unit(trimesh.load(path, force="mesh", process=False))


def random_colors(meshes: Meshes, seed: int = 0) -> Tensor:
    return torch.rand(len(meshes.vertices), 3, generator=torch.Generator().manual_seed(seed), dtype=meshes.vertices.dtype)


def near_outline(masks: Sequence[Tensor], reach: int = 1) -> Tensor:
    """Pixels (n, h, w) within so many pixels of a border of any mask (n, h, w)."""
    near = torch.zeros_like(masks[0], dtype=torch.bool)
    for mask in masks:
        mask = mask.double()[:, None]
        pool = torch.nn.functional.max_pool2d
        near |= (pool(mask, 2 * reach + 1, 1, reach) != -pool(-mask, 2 * reach + 1, 1, reach))[:, 0]
    return near
