"""Heads of balls: a space of shapes whose distances and silhouettes are known exactly, and captures of them."""

import math

import torch
from torch import Tensor

from deep3dmap.frameworks.h3dnet.placement import Placement
from deep3dmap.geometry.lookat import look_at
from deep3dmap.geometry.rotations import quaternion_to_rotation
from deep3dmap.structures import Cameras

MEAN, BASIS = torch.zeros(2), torch.diag(torch.tensor([0.06, 0.06]))
SIZE = 128
ROUND = "round"  # a head without a face: front and back look alike


def balls(codes: Tensor, kind: str = "face") -> tuple[Tensor, Tensor]:
    """Middles (s, b, 3) and radii (s, b) of the balls: skull, jaw, nose, neck; codes widen the skull and lengthen the nose."""
    zero = torch.zeros_like(codes[:, 0])
    skull, nose = codes[:, 0], codes[:, 1]
    if kind == ROUND:
        middles = [(zero, zero + 0.15, zero), (zero, zero - 0.3, zero)]
        radii = [0.42 + skull, zero + 0.2]
    else:
        middles = [(zero, zero + 0.15, zero - 0.05), (zero, zero - 0.15, zero + 0.2), (zero, zero, 0.5 + nose),
                   (zero, zero - 0.5, zero)]
        radii = [0.42 + skull, zero + 0.25, zero + 0.08, zero + 0.2]
    return torch.stack([torch.stack(m, -1) for m in middles], 1), torch.stack(radii, 1)


def decoder(codes: Tensor, points: Tensor, kind: str = "face") -> Tensor:
    """Distances (s, k) at points (s, k, 3): exact outside."""
    middles, radii = balls(codes, kind)
    return ((points[:, :, None] - middles[:, None]).norm(dim=-1) - radii[:, None]).amin(-1)


def placement(seed: int = 0) -> Placement:
    """Some pose: a turn of any size, off the middle, at another scale."""
    generator = torch.Generator().manual_seed(seed)
    rotation = quaternion_to_rotation(torch.randn(4, generator=generator))
    return Placement(rotation, 0.2 * torch.randn(3, generator=generator), 0.8)


def cameras(placed: Placement, azimuths: tuple[float, ...] = (0.0, 45.0, -45.0), tilt: float = 6.0) -> Cameras:
    """Cameras in the scene that look at the placed head from azimuths (degrees, 0 in front), rolled and raised a little."""
    angles = torch.tensor(azimuths).deg2rad()
    height = math.sin(math.radians(tilt))
    eyes = 4.0 * torch.stack([angles.sin(), torch.full_like(angles, height), angles.cos()], 1)
    up = torch.tensor([0.05, 1.0, 0.0]) @ placed.rotation
    poses = look_at(placed.to_scene(eyes), placed.to_scene(torch.zeros(1, 3))[0], up)
    K = torch.tensor([[1.8 * SIZE, 0, SIZE / 2], [0, 1.8 * SIZE, SIZE / 2], [0, 0, 1]])
    return Cameras(K.expand(len(poses), 3, 3).clone(), poses, (SIZE, SIZE))


def masks(placed: Placement, views: Cameras, code: Tensor, kind: str = "face") -> Tensor:
    """Silhouettes, pixel by pixel from the distances of lines to the balls' middles: no field is sampled."""
    middles, radii = (value[0] for value in balls(code[None], kind))
    middles, radii = placed.to_scene(middles), radii / placed.scale
    pictures = []
    for view in range(len(views)):
        rays = views.view_rays(view)
        between = middles[None] - rays.origins[:, None]
        apart = torch.linalg.cross(between, rays.directions[:, None].expand_as(between)).norm(dim=-1)
        pictures.append((apart < radii).any(1).view(SIZE, SIZE))
    return torch.stack(pictures)
