"""A made head of six landmarks in front of cameras, for tests of landmarks."""

from pathlib import Path

import numpy as np
import torch

from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.structures import Cameras, Capture
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS, MEAN_HEAD_LANDMARKS

SIZE = (480, 400)  # height, width
OTHER = dict(right_eye="left_eye", left_eye="right_eye", right_lips="left_lips", left_lips="right_lips")


def head_points(seed: int | None = None) -> torch.Tensor:
    """(6, 3) in millimetres, moved a little if a seed is given; x to the subject's left, y up, z out of the face."""
    points = 10 * torch.tensor(MEAN_HEAD_LANDMARKS, dtype=torch.float64)
    if seed is not None:
        points += 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points


def turned(points: torch.Tensor) -> torch.Tensor:
    """The same points in a world of another pose and unit."""
    x, y, z = points.unbind(-1)
    return 0.01 * torch.stack([z, x, y], -1) + torch.tensor([3.0, -7.0, 2.0])


def named(points: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(HEAD_LANDMARKS, points))


def front_camera(azimuth: float, height: float = 0.0, distance: float = 900.0) -> np.ndarray:
    """[R | t] of a camera that looks at the head's middle; azimuth in degrees, 0 in front, to the subject's left."""
    a = np.radians(azimuth)
    center = distance * np.array([np.sin(a), height, np.cos(a)]) + [0, 0, 100]
    z = np.array([0, 0, 100]) - center
    z /= np.linalg.norm(z)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    R = np.stack([x, np.cross(z, x), z])
    return np.concatenate([R, -R @ center[:, None]], 1)


def head_cameras(azimuths=(0, -35, 40), heights=(0.0, 0.1, -0.1, 0.05, 0.2)) -> Cameras:
    poses = np.stack([front_camera(a, h) for a, h in zip(azimuths, heights)])
    K = torch.tensor([[1500.0, 0, 200], [0, 1500.0, 240], [0, 0, 1]], dtype=torch.float64).repeat(len(poses), 1, 1)
    return Cameras(K, torch.from_numpy(poses), SIZE)


def head_capture(azimuths=(0, -35, 40), **kwargs) -> Capture:
    cameras = head_cameras(azimuths, **kwargs)
    images = torch.full((len(cameras), *SIZE, 3), 90, dtype=torch.uint8)
    images[:, :240] = 160
    masks = torch.zeros(len(cameras), *SIZE, dtype=torch.bool)
    masks[:, 40:440, 60:340] = True
    return Capture(images, cameras, tuple(f"view_{i}" for i in range(len(cameras))), masks)


def head_marks(capture: Capture, points: torch.Tensor, noise: float = 0.0) -> dict[str, dict[str, tuple[float, float]]]:
    uv, _ = capture.cameras.project(points)
    uv = uv + noise * torch.randn(uv.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return {view: dict(zip(HEAD_LANDMARKS, map(tuple, pixels.tolist()))) for view, pixels in zip(capture.names, uv)}


def swap_sides(marks: dict, view: str, *only: str) -> dict:
    """Marks with right and left exchanged in a view (of the eyes or lips only, if so asked)."""
    names = [n for n in OTHER if not only or n.split("_")[1] in only]
    return marks | {view: {OTHER[n] if n in names else n: uv for n, uv in marks[view].items()}}


def save_head(path: Path, format: str = "transforms", **kwargs) -> Capture:
    capture = head_capture(**kwargs)
    save_capture(capture, path, format)
    return capture
