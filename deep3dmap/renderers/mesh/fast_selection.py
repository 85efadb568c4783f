"""The faces visible in each pixel: the fast implementation, a loop over triangles compiled by numba, on the CPU.

The same arithmetic as :mod:`.selection`, in double precision; each image keeps the nearest faces of its pixels in a table.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from deep3dmap.renderers.mesh.selection import NEARER, RasterSettings, Triangles
from deep3dmap.renderers.mesh.triangles import SMALL

_compiled = numba.njit(cache=True, nogil=True)


def select(triangles: Triangles, size: tuple[int, int, int],
           settings: RasterSettings) -> tuple[Int[Tensor, "p"], Int[Tensor, "p k"]]:
    """The nearest triangles of every covered pixel; see :func:`.selection.select`."""
    corners = triangles.corners.detach().double().cpu()
    boxes = torch.from_numpy(_boxes(corners.numpy(), *size[1:], float(settings.blur_radius), settings.cull_backfaces))
    index = torch.nonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))[:, 0]
    boxes, image = boxes[index], triangles.image.cpu()[index]
    order = torch.argsort(image, stable=True)
    bounds = torch.searchsorted(image[order], torch.arange(size[0] + 1))
    pixels, slots = [], []
    for view in range(size[0]):
        mine = order[bounds[view]:bounds[view + 1]]
        twins = _twins(triangles.face.cpu()[index[mine]]) if triangles.weights is not None else torch.full_like(mine, -1)
        table = _draw(corners[index[mine]].numpy(), boxes[mine].numpy(), twins.numpy(), *size[1:], settings.faces_per_pixel,
                      float(settings.blur_radius), settings.perspective_correct, settings.clip_barycentric)  # yapf: disable
        table = torch.from_numpy(table)
        pixel = torch.nonzero(table[:, 0] >= 0)[:, 0]
        chosen = table[pixel].long()
        pixels.append(pixel + view * size[1] * size[2])
        slots.append(torch.where(chosen >= 0, index[mine][chosen.clamp(min=0)], -1) if len(mine) else chosen)
    device = triangles.corners.device
    return torch.cat(pixels).to(device), torch.cat(slots).to(device)


def _twins(face: Int[Tensor, "t"]) -> Int[Tensor, "t"]:
    """Index of the other part of each triangle's face, -1 for unclipped ones; parts of a face are consecutive."""
    twins = torch.full_like(face, -1)
    first = torch.nonzero(face[1:] == face[:-1])[:, 0]
    twins[first], twins[first + 1] = first + 1, first
    return twins


@_compiled
@no_type_check  # run-time shape checks would wrap what numba compiles
def _boxes(corners, height, width, blur_radius, cull):
    """First column and row of the pixels that each triangle may reach, and one past their last; empty where it isn't drawn.

    As :func:`.selection.drawable` and :func:`.selection.pixel_boxes`.
    """
    boxes = np.zeros((len(corners), 4), np.int64)
    scale, reach = min(height, width), blur_radius**0.5
    for t in range(len(corners)):
        x0, y0, z0 = corners[t, 0]
        x1, y1, z1 = corners[t, 1]
        x2, y2, z2 = corners[t, 2]
        area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        if not (-area if cull else abs(area)) > SMALL or not np.isfinite(x0 + x1 + x2 + y0 + y1 + y2 + z0 + z1 + z2):
            continue
        if min(z0, z1, z2) >= SMALL:
            boxes[t, 0], boxes[t, 2] = _pixel_range(min(x0, x1, x2) - reach, max(x0, x1, x2) + reach, width, scale)
            boxes[t, 1], boxes[t, 3] = _pixel_range(min(y0, y1, y2) - reach, max(y0, y1, y2) + reach, height, scale)
    return boxes


@_compiled
@no_type_check
def _pixel_range(low, high, extent, scale):
    """Range (first, one past the last) of an image's ``extent`` columns or rows with centres between two coordinates."""
    first = np.ceil(max(low * (scale / 2) + extent / 2 - 0.5, 0.0))
    last = np.floor(high * (scale / 2) + extent / 2 - 0.5) + 1
    return int(min(first, extent)), int(max(min(last, extent), 0))


@_compiled
@no_type_check
def _draw(corners, boxes, twins, height, width, k, blur_radius, perspective, clip):
    """Table (pixels, k) of the nearest triangles, -1 in empty slots.

    ``twins`` (t,) are the other parts of clipped faces: a pixel keeps the part that contains it or is nearest.
    """
    table = np.full((height * width, k), -1, np.int32)
    depths = np.empty((height * width, k), np.float64)
    scale = min(height, width)
    for t in range(len(corners)):
        other = twins[t]
        for row in range(boxes[t, 1], boxes[t, 3]):
            y = (2.0 * row + 1 - height) / scale
            for column in range(boxes[t, 0], boxes[t, 2]):
                x = (2.0 * column + 1 - width) / scale
                depth, edge = _reach(x, y, corners[t], blur_radius, perspective, clip)
                if not depth >= 0:
                    continue
                if other >= 0:
                    depth2, edge2 = _reach(x, y, corners[other], blur_radius, perspective, clip)
                    if depth2 >= 0 and (edge2 < NEARER * edge if other > t else not edge < NEARER * edge2):
                        continue
                _insert(table, depths, row * width + column, t, depth)
    return table


@_compiled
@no_type_check
def _reach(x, y, corners, blur_radius, perspective, clip):
    """Depth of a triangle at a point, -1 if it doesn't reach it; and the squared distance by which the point is outside."""
    x0, y0, z0 = corners[0]
    x1, y1, z1 = corners[1]
    x2, y2, z2 = corners[2]
    total = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
    w0 = ((x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)) / total
    w1 = ((x2 - x) * (y0 - y) - (y2 - y) * (x0 - x)) / total
    w2 = ((x0 - x) * (y1 - y) - (y0 - y) * (x1 - x)) / total
    if perspective:
        w0, w1, w2 = w0 * (z1 * z2), w1 * (z2 * z0), w2 * (z0 * z1)
        weight = max(w0 + w1 + w2, SMALL)
        w0, w1, w2 = w0 / weight, w1 / weight, w2 / weight
    edge = 0.0
    if not (w0 >= 0 and w1 >= 0 and w2 >= 0):
        if blur_radius == 0:
            return -1.0, edge
        edge = min(_segment(x, y, x0, y0, x1, y1), _segment(x, y, x1, y1, x2, y2), _segment(x, y, x2, y2, x0, y0))
        if not edge < blur_radius:
            return -1.0, edge
    if clip:
        w0, w1, w2 = max(w0, 0.0), max(w1, 0.0), max(w2, 0.0)
        weight = max(w0 + w1 + w2, 1e-5)
        w0, w1, w2 = w0 / weight, w1 / weight, w2 / weight
    return w0 * z0 + w1 * z1 + w2 * z2, edge


@_compiled
@no_type_check
def _segment(x, y, x0, y0, x1, y1):
    """Squared distance of a point to a segment."""
    ex, ey, px, py = x1 - x0, y1 - y0, x - x0, y - y0
    length = ex * ex + ey * ey
    along = min(max((px * ex + py * ey) / max(length, 1e-30), 0.0), 1.0) if length > SMALL else 0.0
    dx, dy = along * ex - px, along * ey - py
    return dx * dx + dy * dy


@_compiled
@no_type_check
def _insert(table, depths, pixel, triangle, depth):
    """Insert a triangle into a pixel's slots, ordered by depth; at equal depth the first one inserted comes first."""
    slot = table.shape[1] - 1
    if table[pixel, slot] >= 0 and depths[pixel, slot] <= depth:
        return
    while slot > 0 and (table[pixel, slot - 1] < 0 or depths[pixel, slot - 1] > depth):
        table[pixel, slot], depths[pixel, slot] = table[pixel, slot - 1], depths[pixel, slot - 1]
        slot -= 1
    table[pixel, slot], depths[pixel, slot] = triangle, depth
