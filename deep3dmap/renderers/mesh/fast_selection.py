"""Which faces each pixel sees: the fast implementation, a loop over triangles compiled by numba, on the CPU.

The same arithmetic as :mod:`.selection`, in double precision; each image keeps the nearest faces of its pixels in a table.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles, drawable, pixel_boxes
from deep3dmap.renderers.mesh.triangles import SMALL

_compiled = numba.njit(cache=True, nogil=True)


def select(triangles: Triangles, size: tuple[int, int, int],
           settings: RasterSettings) -> tuple[Int[Tensor, "p"], Int[Tensor, "p k"]]:
    """The nearest triangles of every pixel that any reaches; see :func:`.selection.select`."""
    corners = triangles.corners.detach().double().cpu()
    index = torch.nonzero(drawable(corners, settings.cull_backfaces))[:, 0]
    first, last = pixel_boxes(corners[index], size, settings.blur_radius)
    boxes = torch.cat([first, last], 1)
    image = triangles.image.cpu()[index]
    face = triangles.face.cpu()[index] if triangles.weights is not None else torch.zeros(0, dtype=torch.int64)
    order = torch.argsort(image, stable=True)
    bounds = torch.searchsorted(image[order], torch.arange(size[0] + 1))
    pixels, slots = [], []
    for view in range(size[0]):
        mine = order[bounds[view]:bounds[view + 1]]
        table = _draw(corners[index[mine]].numpy(), boxes[mine].numpy(), face[mine].numpy() if len(face) else face.numpy(),
                      size[1], size[2], settings.faces_per_pixel, float(settings.blur_radius), settings.perspective_correct,
                      settings.clip_barycentric)  # yapf: disable
        table = torch.from_numpy(table)
        pixel = torch.nonzero(table[:, 0] >= 0)[:, 0]
        chosen = table[pixel].long()
        pixels.append(pixel + view * size[1] * size[2])
        slots.append(torch.where(chosen >= 0, index[mine][chosen.clamp(min=0)], -1) if len(mine) else chosen)
    device = triangles.corners.device
    return torch.cat(pixels).to(device), torch.cat(slots).to(device)


@_compiled
@no_type_check  # run-time shape checks would wrap what numba compiles
def _draw(corners, boxes, face, height, width, k, blur_radius, perspective, clip):
    """Table (pixels, k) of the nearest triangles, -1 in empty slots.

    ``face`` (t,) tells the parts of cut faces, of which a pixel keeps the one whose edge is nearest; empty: none are cut.
    """
    table = np.full((height * width, k), -1, np.int32)
    depths = np.empty((height * width, k), np.float64)
    edges = np.empty((height * width, k if len(face) else 0), np.float64)
    scale = min(height, width)
    for t in range(len(corners)):
        x0, y0, z0 = corners[t, 0]
        x1, y1, z1 = corners[t, 1]
        x2, y2, z2 = corners[t, 2]
        total = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
        for row in range(boxes[t, 1], boxes[t, 3]):
            y = (2.0 * row + 1 - height) / scale
            for column in range(boxes[t, 0], boxes[t, 2]):
                x = (2.0 * column + 1 - width) / scale
                w0 = ((x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)) / total
                w1 = ((x2 - x) * (y0 - y) - (y2 - y) * (x0 - x)) / total
                w2 = ((x0 - x) * (y1 - y) - (y0 - y) * (x1 - x)) / total
                if perspective:
                    w0, w1, w2 = w0 * (z1 * z2), w1 * (z2 * z0), w2 * (z0 * z1)
                    weight = max(w0 + w1 + w2, SMALL)
                    w0, w1, w2 = w0 / weight, w1 / weight, w2 / weight
                inside = w0 >= 0 and w1 >= 0 and w2 >= 0
                if not inside and blur_radius == 0:
                    continue
                edge = 0.0
                if blur_radius > 0 or len(face):
                    edge = min(_segment(x, y, x0, y0, x1, y1), _segment(x, y, x1, y1, x2, y2), _segment(x, y, x2, y2, x0, y0))
                    if not inside and not edge < blur_radius:
                        continue
                if clip:
                    w0, w1, w2 = max(w0, 0.0), max(w1, 0.0), max(w2, 0.0)
                    weight = max(w0 + w1 + w2, 1e-5)
                    w0, w1, w2 = w0 / weight, w1 / weight, w2 / weight
                depth = w0 * z0 + w1 * z1 + w2 * z2
                if depth >= 0:
                    _insert(table, depths, edges, face, row * width + column, t, depth, edge)
    return table


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
def _insert(table, depths, edges, face, pixel, triangle, depth, edge):
    """Put a triangle into a pixel's slots, which stay ordered by depth; of equal ones the first drawn comes first."""
    k = table.shape[1]
    if len(face):
        for slot in range(k):
            other = table[pixel, slot]
            if other < 0 or face[other] != face[triangle]:
                continue
            if edges[pixel, slot] <= edge:
                return
            for later in range(slot, k - 1):
                table[pixel, later], depths[pixel, later], edges[pixel, later] = (table[pixel, later + 1],
                                                                                  depths[pixel, later + 1], edges[pixel,
                                                                                                                  later + 1])
            table[pixel, k - 1] = -1
            break
    if table[pixel, k - 1] >= 0 and depths[pixel, k - 1] <= depth:
        return
    slot = k - 1
    while slot > 0 and (table[pixel, slot - 1] < 0 or depths[pixel, slot - 1] > depth):
        table[pixel, slot], depths[pixel, slot] = table[pixel, slot - 1], depths[pixel, slot - 1]
        if len(face):
            edges[pixel, slot] = edges[pixel, slot - 1]
        slot -= 1
    table[pixel, slot], depths[pixel, slot] = triangle, depth
    if len(face):
        edges[pixel, slot] = edge
