"""Triangles of every awkward kind, for the tests of rasterisers; and the cameras that look at them."""

import torch
from torch import Tensor

from deep3dmap.structures import Cameras, Meshes

KINDS = ("plain", "slivers", "behind", "near plane", "huge", "outside", "degenerate", "twins", "connected", "empty")


def soup(kind: str, number: int = 12, seed: int = 0) -> Meshes:
    """Triangles before a camera at the origin that looks along z; double precision.

    ``twins`` are pairs at one place and others in their plane, ``connected`` is a strip, whose faces meet at edges.
    """
    random = torch.Generator().manual_seed(seed + 100 * KINDS.index(kind))
    corners = torch.rand(number, 3, 3, generator=random, dtype=torch.float64) * 4 - 2
    corners[..., 2] += 4
    if kind == "slivers":
        along = torch.rand(number, 1, generator=random, dtype=torch.float64)
        corners[:, 2] = corners[:, 0] + along * (corners[:, 1] - corners[:, 0]) + 0.03 * corners[:, 2]
    elif kind == "behind":
        corners[..., 2] *= -1
    elif kind == "near plane":
        corners[..., 2] -= 4
    elif kind == "huge":
        corners[..., :2] *= 1e4
    elif kind == "outside":
        corners[..., 0] += 100
    elif kind == "degenerate":
        corners[:4, 1] = corners[:4, 0]
        corners[4:8, 2] = (corners[4:8, 0] + corners[4:8, 1]) / 2
        corners[8:] = corners[8:, :1]
    elif kind == "twins":
        corners[1::2] = corners[::2]
        corners[:6, :, 2] = 4
    elif kind == "empty":
        return Meshes.pack([corners[:0, 0]], [torch.zeros(0, 3, dtype=torch.int64)])
    if kind == "connected":
        strip = torch.arange(number)[:, None] + torch.arange(3)
        return Meshes.pack([corners[:, 0]], [strip[:-2]])
    return Meshes.pack([corners.flatten(0, 1)], [torch.arange(3 * number).view(-1, 3)])


def batch(number: int = 12) -> Meshes:
    """All soups, of different sizes."""
    return Meshes.pack(*zip(*(soup(kind, number + 8 * i).unpack()[0] for i, kind in enumerate(KINDS))))


def camera(size: tuple[int, int], kind: type[Cameras] = Cameras, shift: float = 0.0) -> Cameras:
    """One at the origin, looking along z; ``shift`` moves its axis to the side by so many pixels."""
    focal = (0.25 if kind is not Cameras else 0.9) * min(size)
    K = torch.tensor([[[focal, 0, size[1] / 2 + shift], [0, focal, size[0] / 2 + 0.3], [0, 0, 1]]], dtype=torch.float64)
    return kind(K, torch.eye(3, 4, dtype=torch.float64)[None], size)


def random_like(values: Tensor, seed: int = 0) -> Tensor:
    return torch.rand(values.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(values)
