"""The nearest face of each pixel, by the rules of two published rasterisers; a loop compiled by numba, on the CPU.

They differ from :mod:`.selection` in that the near and far limits apply to each pixel, and in the treatment of
pixels whose centre is exactly on an edge, or near the image's border.
"""

from dataclasses import dataclass
from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from deep3dmap.renderers.mesh.triangles import cross

_compiled = numba.njit(cache=True, nogil=True)


@dataclass(frozen=True)
class PixelRule:
    """Which pixels a triangle covers.

    Attributes:
        half_open: pixels on the edge opposite the first corner aren't the triangle's; otherwise pixels on all edges are.
        border: width in pixels of the margin of the image in which a triangle covers its bounding box.
        near: lower limit of depths, exclusive.
        far: upper limit of depths, exclusive.
        single: arithmetic in single precision.
    """

    half_open: bool = False
    border: int = 0
    near: float = 0.0
    far: float = float("inf")
    single: bool = False


def to_pixels(points: Float[Tensor, "*m 2"], size: tuple[int, int, int]) -> Float[Tensor, "*m 2"]:
    """Image coordinates (see :mod:`.triangles`) in pixels, with pixel centres at integers."""
    height, width = size[1:]
    return (points * min(height, width) + torch.tensor([width, height]).to(points) - 1) / 2


def select_nearest(triangles: Triangles,
                   size: tuple[int, int, int],
                   settings: RasterSettings,
                   rule: PixelRule,
                   pixels: Float[Tensor, "t 3 2"] | None = None) -> tuple[Int[Tensor, "p"], Int[Tensor, "p 1"]]:
    """The nearest triangle of every covered pixel; the first of equally near ones.

    Args:
        triangles: projected.
        size: number of images, height, width.
        settings: of which perspective and culling are used.
        rule: which pixels a triangle covers.
        pixels: corners as of :func:`to_pixels`, where they are known exactly.

    Returns:
        The pixels, in rising order, and the index of the triangle of each.
    """
    corners = triangles.corners.detach().double().cpu()
    xy = to_pixels(corners[..., :2], size) if pixels is None else pixels.detach().double().cpu()
    area = cross(xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0])
    drawn = (area < 0 if settings.cull_backfaces else area != 0) & torch.isfinite(corners).flatten(1).all(-1)
    index = torch.nonzero(drawn)[:, 0]
    limit = torch.tensor([size[2], size[1]])
    first = xy[index].amin(1).clamp(min=0).minimum(limit).ceil().long()
    last = (xy[index].amax(1).clamp(min=-1).minimum(limit - 1).floor().long() + 1)
    table = _draw(torch.cat([xy, corners[..., 2:]], -1)[index].numpy().astype(np.float32 if rule.single else np.float64),
                  torch.cat([first, last], 1).numpy(), triangles.image.cpu()[index].numpy(), *size,
                  settings.perspective_correct, rule.half_open, rule.border, rule.near, rule.far)  # yapf: disable
    table = torch.from_numpy(table)
    pixel = torch.nonzero(table >= 0)[:, 0]
    device = triangles.corners.device
    return pixel.to(device), index[table[pixel]][:, None].to(device)


@_compiled
@no_type_check  # run-time shape checks would wrap what numba compiles
def _draw(corners, boxes, image, images, height, width, perspective, half_open, border, near, far):
    """The nearest triangle of each pixel, -1 where there is none."""
    table = np.full(images * height * width, -1, np.int64)
    depths = np.full(images * height * width, far, corners.dtype)
    along = np.arange(max(height, width)).astype(corners.dtype)
    for t in range(len(corners)):
        z0, z1, z2 = corners[t, :, 2]
        for row in range(boxes[t, 1], boxes[t, 3]):
            for column in range(boxes[t, 0], boxes[t, 2]):
                x, y = along[column], along[row]
                w0, w1, w2 = _projected(corners[t], x, y) if half_open else _areas(corners[t], x, y)
                inside = w1 >= 0 and w2 >= 0 and (w1 + w2 < 1 if half_open else w0 >= 0)
                if not inside and min(row, column, height - 1 - row, width - 1 - column) >= border:
                    continue
                depth = 1 / (w0 / z0 + w1 / z1 + w2 / z2) if perspective else w0 * z0 + w1 * z1 + w2 * z2
                pixel = (image[t] * height + row) * width + column
                if near < depth < depths[pixel]:
                    table[pixel], depths[pixel] = t, depth
    return table


@_compiled
@no_type_check
def _areas(corners, x, y):
    """Barycentric coordinates as ratios of areas: consistent for triangles with a common edge."""
    x0, y0 = corners[0, 0] - x, corners[0, 1] - y
    x1, y1 = corners[1, 0] - x, corners[1, 1] - y
    x2, y2 = corners[2, 0] - x, corners[2, 1] - y
    a0, a1, a2 = x1 * y2 - y1 * x2, x2 * y0 - y2 * x0, x0 * y1 - y0 * x1
    total = a0 + a1 + a2
    return a0 / total, a1 / total, a2 / total


@_compiled
@no_type_check
def _projected(corners, x, y):
    """Barycentric coordinates by least squares over the edges from the first corner (Ericson, "Real-Time Collision
    Detection", 2005, section 3.4): which pixels are on an edge depends on the order of arithmetic."""
    ax, ay = corners[2, 0] - corners[0, 0], corners[2, 1] - corners[0, 1]
    bx, by = corners[1, 0] - corners[0, 0], corners[1, 1] - corners[0, 1]
    px, py = x - corners[0, 0], y - corners[0, 1]
    aa, ab, ap, bb, bp = ax * ax + ay * ay, ax * bx + ay * by, ax * px + ay * py, bx * bx + by * by, bx * px + by * py
    one = np.ones(1, corners.dtype)[0]  # a literal would make it double precision
    scale = one / (aa * bb - ab * ab)
    w2, w1 = (bb * ap - ab * bp) * scale, (aa * bp - ab * ap) * scale
    return one - w2 - w1, w1, w2
