"""The faces visible in each pixel: the plain implementation, vectorised torch on any device.

Every triangle is paired with the pixels of its bounding box, pairs whose pixel it doesn't cover are dropped, and the others
sorted. Cost and memory grow with the pixels of the boxes, not with triangles times pixels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deep3dmap.renderers.mesh.triangles import SMALL, barycentric_coordinates, clipped, cross, edge_distance, in_order

PAIRS = 1 << 22  # pairs of a triangle and a pixel examined at a time

NEARER = 1 - 1e-9  # factor of a squared distance: the second part of a clipped face must be nearer by more than rounding


@dataclass(frozen=True)
class RasterSettings:
    """Settings of rasterisation.

    Attributes:
        faces_per_pixel: number of nearest faces kept in each pixel.
        blur_radius: a face also covers pixels within this *squared* distance of its edges, in units of half the image's
            shorter side.
        perspective_correct: barycentric coordinates in scene space.
        cull_backfaces: drop faces whose corners run clockwise in the image.
        clip_barycentric: clamp barycentric coordinates of pixels outside a face.
    """

    faces_per_pixel: int = 1
    blur_radius: float = 0.0
    perspective_correct: bool = True
    cull_backfaces: bool = False
    clip_barycentric: bool = False


@dataclass(frozen=True)
class Triangles:
    """Projected triangles of ``n`` images.

    Attributes:
        corners: (t, 3, 3) image coordinates x and y (see :mod:`.triangles`) and depth.
        image: index of each triangle's image.
        face: index of the face of each triangle, or of which it is a part.
        weights: (t, 3, 3) the face's barycentric coordinates of each corner if faces were clipped, or None.
    """

    corners: Float[Tensor, "t 3 3"]
    image: Int[Tensor, "t"]
    face: Int[Tensor, "t"]
    weights: Float[Tensor, "t 3 3"] | None = None


def drawable(corners: Float[Tensor, "t 3 3"], cull_backfaces: bool) -> Bool[Tensor, "t"]:
    """Which triangles have an area and are in front of the camera (and face it, with ``cull_backfaces``)."""
    area = cross(corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2])
    seen = -area > SMALL if cull_backfaces else area.abs() > SMALL
    return seen & (corners[..., 2] >= SMALL).all(-1) & torch.isfinite(corners).flatten(1).all(-1)


def pixel_boxes(corners: Float[Tensor, "t 3 3"], size: tuple[int, int, int],
                blur_radius: float) -> tuple[Int[Tensor, "t 2"], Int[Tensor, "t 2"]]:
    """First and one past the last column and row of the pixels whose centres are in each triangle's (dilated) box."""
    height, width = size[1:]
    extent = torch.tensor([width, height], device=corners.device, dtype=corners.dtype)
    low = (corners[..., :2].amin(1) - blur_radius**0.5) * (min(height, width) / 2) + extent / 2 - 0.5
    high = (corners[..., :2].amax(1) + blur_radius**0.5) * (min(height, width) / 2) + extent / 2 - 0.5
    limit = torch.tensor([width, height], device=corners.device)
    first = torch.minimum(low.clamp(min=0).ceil(), extent).long()
    return first, torch.maximum(torch.minimum(high.floor() + 1, extent).long().minimum(limit), first)


def pixel_centers(pixel: Int[Tensor, "m"], size: tuple[int, int, int]) -> Float[Tensor, "m 2"]:
    """Image coordinates of the centres of pixels given by their index, in double precision."""
    height, width = size[1:]
    xy = torch.stack([pixel % width, pixel // width % height], -1).double() * 2 + 1
    return (xy - torch.tensor([width, height], device=pixel.device)) / min(height, width)


def select(triangles: Triangles, size: tuple[int, int, int],
           settings: RasterSettings) -> tuple[Int[Tensor, "p"], Int[Tensor, "p k"]]:
    """The nearest triangles of every covered pixel.

    Args:
        triangles: projected.
        size: number of images, height, width.
        settings: of the rasteriser.

    Returns:
        The pixels, in ascending order, and the indices of their triangles by depth, -1 in empty slots.
    """
    corners = triangles.corners.detach().double()
    index = torch.nonzero(drawable(corners, settings.cull_backfaces))[:, 0]
    first, last = pixel_boxes(corners[index], size, settings.blur_radius)
    covered = (last - first).prod(-1)
    found = [_reached(corners, triangles, size, settings, index[part], first[part], last[part], covered[part])
             for part in _parts(covered)]  # yapf: disable
    if not found:
        empty = index.new_zeros(0)
        return empty, empty.view(0, settings.faces_per_pixel)
    pixel, triangle, depth, distance = (torch.cat(values) for values in zip(*found))
    if triangles.weights is not None:
        keep = _without_twins(pixel, triangle, triangles.face[triangle], distance)
        pixel, triangle, depth = pixel[keep], triangle[keep], depth[keep]
    return _nearest(pixel, triangle, depth, settings.faces_per_pixel)


def _parts(covered: Int[Tensor, "t"]) -> list[Tensor]:
    """Indices of triangles that cover some pixels, in parts of about :data:`PAIRS` pairs."""
    some = torch.nonzero(covered)[:, 0]
    part = (covered[some].cumsum(0) - 1) // PAIRS
    return list(some.split(torch.unique_consecutive(part, return_counts=True)[1].tolist())) if len(some) else []


def _reached(corners, triangles, size, settings, index, first, last, covered):
    """Pairs of a pixel and a triangle that covers it: pixel, triangle, depth, distance."""
    widths = (last - first)[:, 0]
    owner = torch.arange(len(index), device=index.device).repeat_interleave(covered)
    nth = torch.arange(len(owner), device=index.device) - (covered.cumsum(0) - covered)[owner]
    row, column = first[owner, 1] + nth // widths[owner], first[owner, 0] + nth % widths[owner]
    triangle = index[owner]
    pixel = (triangles.image[triangle] * size[1] + row) * size[2] + column
    points, shapes = pixel_centers(pixel, size), corners[triangle]
    barycentric = barycentric_coordinates(points, shapes, settings.perspective_correct)
    distance = edge_distance(points, shapes)
    inside = (barycentric >= 0).all(-1)
    used = clipped(barycentric) if settings.clip_barycentric else barycentric
    depth = in_order(used * shapes[..., 2])
    kept = (inside | (distance < settings.blur_radius)) & (depth >= 0)
    return pixel[kept], triangle[kept], depth[kept], torch.where(inside, -distance, distance)[kept]


def _without_twins(pixel, triangle, face, distance) -> Int[Tensor, "m"]:
    """Indices of the pairs to keep: of a clipped face's two parts in one pixel, the one that contains it or is nearest."""
    order = torch.argsort(triangle, stable=True)
    for key in (face, pixel):
        order = order[torch.argsort(key[order], stable=True)]
    pixel, face, outside = pixel[order], face[order], distance[order].clamp(min=0)
    pair = torch.nonzero((pixel[1:] == pixel[:-1]) & (face[1:] == face[:-1]))[:, 0]
    kept = torch.ones_like(order, dtype=torch.bool)
    kept[torch.where(outside[pair + 1] < NEARER * outside[pair], pair, pair + 1)] = False
    return order[kept]


def _nearest(pixel, triangle, depth, k: int) -> tuple[Tensor, Tensor]:
    """The first ``k`` triangles of every pixel by depth, then by index."""
    order = torch.argsort(triangle, stable=True)
    for key in (depth, pixel):
        order = order[torch.argsort(key[order], stable=True)]
    pixel, triangle = pixel[order], triangle[order]
    pixels, counts = torch.unique_consecutive(pixel, return_counts=True)
    owner = torch.arange(len(pixels), device=pixel.device).repeat_interleave(counts)
    slot = torch.arange(len(pixel), device=pixel.device) - (counts.cumsum(0) - counts)[owner]
    kept = slot < k
    slots = triangle.new_full((len(pixels), k), -1)
    slots[owner[kept], slot[kept]] = triangle[kept]
    return pixels, slots
