"""Approximate gradients of a rasterised image to the outlines in it (Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR
2018, section 3): what moving an edge over a pixel would change, divided by how far the edge would have to move.

A pixel's colour jumps when an edge reaches its centre, so the true derivative is zero or infinite. Here the jump is replaced
by a straight line from the edge's present position to that centre. Along every row and column that an edge crosses:

* each pixel *beyond* the edge might be covered by the face: it would get the colour just inside the edge;
* each pixel of the face might be uncovered: it would get the colour just outside the edge.

A pixel counts only if its jump would lower the loss. The loss's fall over the distance, shared between the edge's ends by
the lever rule, is the gradient. Every pixel is counted by itself, as if no other changed. Depth gets nothing, and the image
itself is passed on unchanged.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.renderers.mesh.nearest_face import to_pixels

_compiled = numba.njit(cache=True, nogil=True)


def with_edge_gradients(images: Float[Tensor, "n h w c"], corners: Float[Tensor, "t 3 3"], owner: Int[Tensor, "n h w"],
                        epsilon: float) -> Float[Tensor, "n h w c"]:
    """The same images, with approximate gradients to the triangles drawn in them.

    Args:
        images: hard-edged; all channels together decide whether a pixel's jump would lower the loss.
        corners: of the triangles, image coordinates (see :mod:`.triangles`) and depth.
        owner: index of the triangle that each pixel shows, -1 where there is none.
        epsilon: added to distances, image coordinates; it bounds the gradients.
    """
    return _EdgeGradients.apply(images, corners, owner, epsilon)


class _EdgeGradients(torch.autograd.Function):
    """Identity in the images; see the module."""

    @staticmethod
    def forward(ctx, images, corners, owner, epsilon):
        ctx.save_for_backward(images, corners, owner)
        ctx.epsilon = epsilon
        return images.view_as(images)

    @staticmethod
    def backward(ctx, upstream):
        images, corners, owner = ctx.saved_tensors
        gradient = edge_gradients(images, upstream, corners, owner, ctx.epsilon) if ctx.needs_input_grad[1] else None
        return upstream, gradient, None, None


def edge_gradients(images: Float[Tensor, "n h w c"], upstream: Float[Tensor, "n h w c"], corners: Float[Tensor, "t 3 3"],
                   owner: Int[Tensor, "n h w"], epsilon: float) -> Float[Tensor, "t 3 3"]:
    """The approximate gradient to the triangles' corners; see the module. On the CPU.

    Args:
        images: as drawn.
        upstream: gradient of the loss to them.
        corners: image coordinates and depth.
        owner: index of the triangle that each pixel shows, -1 where there is none.
        epsilon: see :func:`with_edge_gradients`.
    """
    n, height, width = owner.shape
    points = to_pixels(corners.detach()[..., :2].double().cpu(), (n, height, width)).numpy()
    maps = [x.detach().cpu() for x in (owner, images.double(), upstream.double())]
    gradient = np.zeros_like(points)
    for view in range(n):
        seen = torch.unique(maps[0][view])
        for axis in (0, 1):  # scan columns, then rows
            along = [x[view].transpose(0, 1) if axis == 0 else x[view] for x in maps]
            scan = np.ascontiguousarray(points if axis == 0 else points[..., ::-1])
            gradient[..., 1 - axis] += _scan(scan, seen[seen >= 0].numpy(), *(x.contiguous().numpy() for x in along), epsilon,
                                             2 / min(height, width))
    gradient = torch.from_numpy(gradient)
    return torch.cat([gradient, torch.zeros_like(gradient[..., :1])], -1).to(corners)


@_compiled
@no_type_check  # run-time shape checks would wrap what numba compiles
def _scan(corners, seen, owner, image, upstream, epsilon, step):
    """Gradient (t, 3) to the corners' position along the scanned lines.

    ``corners`` (t, 3, 2) hold the number of the line and the position along it, in pixels; the maps' first axis is the line.
    """
    gradient = np.zeros(corners.shape[:2])
    lines, length = owner.shape
    for t in seen:
        for start in range(3):
            end, apex = (start + 1) % 3, (start + 2) % 3
            a0, a1 = corners[t, start]
            b0, b1 = corners[t, end]
            c0, c1 = corners[t, apex]
            if a0 == b0:
                continue
            slope = (b1 - a1) / (b0 - a0)
            outwards = 1 if c1 < a1 + slope * (c0 - a0) else -1
            for line in range(max(np.ceil(min(a0, b0)), 0), min(np.floor(max(a0, b0)), lines - 1) + 1):
                cut = a1 + slope * (line - a0)
                inner = int(np.floor(cut) if outwards > 0 else np.ceil(cut))
                outer = inner + outwards
                if min(inner, outer) < 0 or max(inner, outer) >= length:
                    continue
                ends = (t, start, end, a0, b0, line)
                if owner[line, inner] == t:
                    at = outer
                    while 0 <= at < length:  # pixels that the face might come to cover
                        _pull(gradient, ends, (at - cut) * step, _gain(image[line], upstream[line], at, inner), epsilon)
                        at += outwards
                if (line - a0) * (line - c0) < 0:
                    other = a1 + (c1 - a1) / (c0 - a0) * (line - a0)
                else:
                    other = c1 + (b1 - c1) / (b0 - c0) * (line - c0)
                limit = int(np.ceil(other) if outwards > 0 else np.floor(other))
                for at in range(max(min(inner, limit), 0), min(max(inner, limit), length - 1) + 1):
                    if owner[line, at] == t:  # pixels that the face might leave
                        _pull(gradient, ends, (at - cut) * step, _gain(image[line], upstream[line], at, outer), epsilon)
    return gradient


@_compiled
@no_type_check
def _gain(image, upstream, at, source):
    """By how much the loss would fall if a pixel took another one's colour."""
    gain = 0.0
    for channel in range(image.shape[1]):
        gain += (image[at, channel] - image[source, channel]) * upstream[at, channel]
    return gain


@_compiled
@no_type_check
def _pull(gradient, ends, distance, gain, epsilon):
    """Pull an edge's ends towards a pixel at a signed distance from the edge, if that lowers the loss."""
    if gain <= 0:
        return
    t, start, end, a0, b0, line = ends
    if b0 != line:
        needed = (b0 - a0) / (b0 - line) * distance
        gradient[t, start] -= gain / (needed + (epsilon if needed > 0 else -epsilon))
    if a0 != line:
        needed = (b0 - a0) / (line - a0) * distance
        gradient[t, end] -= gain / (needed + (epsilon if needed > 0 else -epsilon))
