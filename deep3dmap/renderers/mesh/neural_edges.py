"""Approximate gradients of a rasterised image to the outlines in it (Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR
2018, section 3): the change that moving an edge over a pixel would cause, divided by the necessary displacement.

A pixel's colour jumps when an edge reaches its centre, so the true derivative is zero or infinite. Here the step is replaced
by a linear ramp from the edge's position to that centre. Along every row and column that an edge crosses:

* each pixel *beyond* the edge may become covered by the face: it would take the colour just inside the edge;
* each pixel of the face may become uncovered: it would take the colour just outside the edge.

Only pixels whose change would decrease the loss contribute. The gradient is that decrease divided by the distance, distributed
to the edge's ends by the lever rule. Pixels contribute independently. The gradient of depths is 0, and the image itself is
returned unchanged.
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
        images: hard-edged; whether a pixel's change decreases the loss is decided over all channels together.
        corners: of the triangles, image coordinates (see :mod:`.triangles`) and depth.
        owner: index of the visible triangle of each pixel, -1 for none.
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
        owner: index of the visible triangle of each pixel, -1 for none.
        epsilon: see :func:`with_edge_gradients`.
    """
    n, height, width = owner.shape
    points = to_pixels(corners.detach()[..., :2].double().cpu(), (n, height, width)).numpy()
    maps = [x.detach().cpu() for x in (owner, images.double(), upstream.double(), (upstream != 0).any(-1))]
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
def _scan(corners, seen, owner, image, upstream, matters, epsilon, step):
    """Gradient (t, 3) to the corners' position along the scanned lines; ``matters`` marks pixels with an upstream gradient.

    ``corners`` (t, 3, 2) hold the number of the line and the position along it, in pixels; the maps' first axis is the line.
    """
    gradient = np.zeros(corners.shape[:2])
    for t in seen:
        for start in range(3):
            end, apex = (start + 1) % 3, (start + 2) % 3
            a, b, c = corners[t, start], corners[t, end], corners[t, apex]
            if a[0] == b[0]:
                continue
            outwards = 1 if c[1] < _position(a, b, c[0]) else -1
            first, last = np.ceil(min(a[0], b[0])), np.floor(max(a[0], b[0]))
            for line in range(max(first, 0), min(last, len(owner) - 1) + 1):
                cut, other = _position(a, b, line), _other_edge(a, b, c, line)
                levers = (_lever(a, b, line), _lever(b, a, line))
                maps = (owner[line], image[line], upstream[line], matters[line])
                pulls = _scan_line(maps, t, cut, other, outwards, levers, step, epsilon)
                gradient[t, start] -= pulls[0]
                gradient[t, end] -= pulls[1]
    return gradient


@_compiled
@no_type_check
def _position(a, b, line):
    """Where the edge from a to b crosses a line."""
    return a[1] + (b[1] - a[1]) / (b[0] - a[0]) * (line - a[0])


@_compiled
@no_type_check
def _other_edge(a, b, c, line):
    """Where a line that crosses the edge from a to b leaves the triangle."""
    if (line - a[0]) * (line - c[0]) < 0:
        return _position(a, c, line)
    return _position(c, b, line) if b[0] != c[0] else _position(a, b, line)


@_compiled
@no_type_check
def _lever(a, b, line):
    """Displacement of a, with b fixed, that moves the edge between them by 1 at a line; infinite at b."""
    return (b[0] - a[0]) / (b[0] - line) if b[0] != line else np.inf


@_compiled
@no_type_check
def _scan_line(maps, t, cut, other, outwards, levers, step, epsilon):
    """Contributions to an edge's two ends along a line that enters the face at ``cut`` and leaves it at ``other``."""
    owner, image, upstream, matters = maps
    inner = int(np.floor(cut) if outwards > 0 else np.ceil(cut))
    outer, length = inner + outwards, len(owner)
    start, end = 0.0, 0.0
    if min(inner, outer) < 0 or max(inner, outer) >= length:
        return start, end
    if owner[inner] == t:
        for at in range(outer, length if outwards > 0 else -1, outwards):  # pixels that may become covered
            gain, distance = _gain(image, upstream, at, inner) if matters[at] else 0.0, (at - cut) * step
            if gain > 0:
                start += _over(gain, levers[0] * distance, epsilon)
                end += _over(gain, levers[1] * distance, epsilon)
    limit = int(np.ceil(other) if outwards > 0 else np.floor(other))
    for at in range(max(min(inner, limit), 0), min(max(inner, limit), length - 1) + 1):
        if owner[at] == t and matters[at]:  # pixels that may become uncovered
            gain, distance = _gain(image, upstream, at, outer), (at - cut) * step
            if gain > 0:
                start += _over(gain, levers[0] * distance, epsilon)
                end += _over(gain, levers[1] * distance, epsilon)
    return start, end


@_compiled
@no_type_check
def _gain(image, upstream, at, source):
    """First-order decrease of the loss if a pixel took the colour of another."""
    gain = 0.0
    for channel in range(image.shape[1]):
        gain += (image[at, channel] - image[source, channel]) * upstream[at, channel]
    return gain


@_compiled
@no_type_check
def _over(gain, needed, epsilon):
    """A gain divided by the signed displacement of an end; 0 if that is infinite."""
    if not np.isfinite(needed):
        return 0.0
    return gain / (needed + (epsilon if needed > 0 else -epsilon))
