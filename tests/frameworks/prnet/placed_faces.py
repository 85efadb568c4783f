"""The mean face of a layout, placed in pictures whose colours tell the place."""

import numpy as np
import torch
from torch import Tensor, nn

from deep3dmap.frameworks.prnet.face import FoundFace
from deep3dmap.geometry.face_crops import CropRule, box_crop, points_box
from deep3dmap.geometry.face_pose import angles_to_rotation
from deep3dmap.registry import BACKBONES
from deep3dmap.structures.uv_layout import UVLayout

LAYOUT = UVLayout.load("ict", 128)
UP = torch.diag(torch.tensor([1.0, -1.0, 1.0]))


def gradient(height: int = 120, width: int = 160) -> np.ndarray:
    """A picture whose red is the column and green the row, in single steps."""
    image = np.full((height, width, 3), 60, np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    return image


def as_map(vertices: Tensor, layout: UVLayout = LAYOUT) -> Tensor:
    """The position map (3, s, s) of vertices; far away beside the face, where a network's is of no meaning."""
    maps = torch.full((3, layout.size**2), 1e4)
    maps[:, torch.from_numpy(layout.indices)] = vertices.T.float()
    return maps.view(3, layout.size, layout.size)


def placed(yaw=0.0, pitch=0.0, roll=0.0, center=(80.0, 60.0), scale=4.0, image=None, layout: UVLayout = LAYOUT) -> FoundFace:
    """The mean face in a picture, turned by angles in degrees as AFLW2000-3D counts them."""
    angles = torch.deg2rad(torch.tensor([pitch, yaw, roll]))
    rotation = UP @ angles_to_rotation(angles, "3ddfa") @ UP
    canonical = torch.from_numpy(layout.canonical)
    vertices = scale * (canonical - canonical.mean(0)) @ rotation.T + torch.tensor([*center, 0.0])
    maps = as_map(vertices, layout)
    crop = box_crop(points_box(layout.landmark_points(maps)), layout.size, CropRule(1.6))
    return FoundFace(gradient() if image is None else image, layout, crop, maps)


@BACKBONES.register_module()
class DiscReader(nn.Module):
    """A network that sees one thing: where the white disc in a picture is, and how large. It puts the mean face there."""

    resolution = LAYOUT.size

    def __init__(self):
        super().__init__()
        self.unit = nn.Parameter(torch.ones(1))

    def forward(self, image: Tensor) -> Tensor:
        """Position maps in units of 1.1 crops."""
        maps = []
        canonical = torch.from_numpy(LAYOUT.canonical)
        for white in image[:, 0] > 0.5:
            row, column = torch.nonzero(white).double().unbind(-1)
            center, radius = torch.stack([column.mean(), row.mean()]), (len(row) / torch.pi)**0.5
            vertices = 0.1 * radius * (canonical - canonical.mean(0)) + torch.tensor([*center.tolist(), 0.1 * radius])
            maps.append(as_map(vertices) / (1.1 * self.resolution))
        return torch.stack(maps).float() * self.unit


def disc(center: tuple[float, float], radius: float, height: int = 240, width: int = 320) -> np.ndarray:
    """A black picture with a white disc."""
    y, x = np.mgrid[:height, :width]
    white = (x - center[0])**2 + (y - center[1])**2 <= radius**2
    return np.repeat(255 * white[..., None].astype(np.uint8), 3, -1)
