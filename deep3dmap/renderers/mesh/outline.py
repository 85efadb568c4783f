"""Soft silhouettes of whole meshes: opacity by the distance to the outline, rather than to the edges of every triangle.

A soft rasteriser's opacity is the product over all faces near a pixel (Liu et al., "Soft Rasterizer", ICCV 2019, eq. 6), which
has gaps inside meshes whose triangles are not much larger than the blur, and needs many faces in each pixel. Here the
outline is found first, among the contour edges between front and back faces; one face a pixel suffices.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from deep3dmap.geometry.triangles import Edges
from deep3dmap.renderers.mesh.selection import pixel_boxes, pixel_centers
from deep3dmap.renderers.mesh.triangles import cross

REACH = 9.2  # opacities within exp(-9.2) = 1e-4 of 0 or 1 are rounded


def outline_opacity(covered: Bool[Tensor, "h w"], points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], edges: Edges,
                    sigma: float) -> Float[Tensor, "h w"]:
    """Opacity of a mesh in an image: 1/2 on its outline, falling off on both sides; differentiable in the outline.

    Args:
        covered: pixels whose centre the mesh covers.
        points: its vertices: image coordinates x and y (see :mod:`.triangles`), and depth.
        faces: of the mesh.
        edges: of these faces.
        sigma: squared distance over which opacity falls off, in units of half the image's shorter side.
    """
    ends = points[edges.vertices[contour_edges(points, faces, edges)]]
    ends = ends[(ends[..., 2] > 0).all(-1)][..., :2]
    pixel, edge = _nearest_edges(ends.detach(), covered, sigma)
    distance = _segment_distance(pixel_centers(pixel, (1, *covered.shape)).to(points), ends[edge])
    sign = torch.where(covered.flatten()[pixel], 1.0, -1.0).to(points)
    opacity = covered.flatten().to(points).index_put((pixel, ), torch.sigmoid(sign * distance / sigma))
    return opacity.view(covered.shape)


def contour_edges(points: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], edges: Edges) -> Bool[Tensor, "e"]:
    """Which edges are between a front face and a back face, or on the boundary of the surface.

    Args:
        points: the vertices in the image.
        faces: of the mesh.
        edges: of these faces.
    """
    corners = points.detach()[faces][..., :2]
    side = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).sign().repeat_interleave(3)
    edge, count = edges.of_faces.reshape(-1), len(edges.vertices)
    low, high = (torch.zeros(count).to(side).scatter_reduce(0, edge, side, how, include_self=False)
                 for how in ("amin", "amax"))
    return (low != high) | (torch.bincount(edge, minlength=count) == 1)


def _nearest_edges(ends: Float[Tensor, "e 2 2"], covered: Bool[Tensor, "h w"],
                   sigma: float) -> tuple[Int[Tensor, "p"], Int[Tensor, "p"]]:
    """The pixels near the outline and the nearest edge of each; inner contours, with surface on both sides, are
    skipped."""
    size = (1, *covered.shape)
    flat = torch.cat([ends, ends.new_zeros(*ends.shape[:2], 1)], -1)
    first, last = pixel_boxes(flat[:, [0, 1, 1]].double(), size, REACH * sigma)
    widths, counts = (last - first)[:, 0], (last - first).prod(-1)
    edge = torch.arange(len(ends), device=ends.device).repeat_interleave(counts)
    nth = torch.arange(len(edge), device=ends.device) - (counts.cumsum(0) - counts)[edge]
    pixel = (first[edge, 1] + nth // widths[edge]) * size[2] + first[edge, 0] + nth % widths[edge]
    centers, segments = pixel_centers(pixel, size).to(ends), ends[edge]
    foot = _nearest_point(centers, segments)
    distance = ((centers - foot)**2).sum(-1)
    inside = covered.flatten()[pixel]
    beyond = foot + torch.nn.functional.normalize(foot - centers, dim=-1) * (2 / min(size[1:]))
    kept = (distance < REACH * sigma) & ~(inside & _covers(covered, beyond))
    pixel, edge, distance = pixel[kept], edge[kept], distance[kept]
    order = torch.argsort(distance, stable=True)
    order = order[torch.argsort(pixel[order], stable=True)]
    pixel, edge = pixel[order], edge[order]
    new = torch.ones_like(pixel, dtype=torch.bool)
    new[1:] = pixel[1:] != pixel[:-1]
    return pixel[new], edge[new]


def _covers(covered: Bool[Tensor, "h w"], points: Float[Tensor, "m 2"]) -> Bool[Tensor, "m"]:
    """Whether the pixel at a point of the image is covered; points outside the image use its nearest pixel."""
    height, width = covered.shape
    extent = torch.tensor([width, height]).to(points)
    column, row = ((points * min(height, width) + extent) / 2).floor().long().unbind(-1)
    return covered[row.clamp(0, height - 1), column.clamp(0, width - 1)]


def _nearest_point(points: Float[Tensor, "m 2"], segments: Float[Tensor, "m 2 2"]) -> Float[Tensor, "m 2"]:
    """The point of each segment that is nearest to a point."""
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    share = ((points - start) * along).sum(-1) / (along * along).sum(-1).clamp(min=1e-30)
    return start + share.clamp(0, 1)[:, None] * along


def _segment_distance(points: Float[Tensor, "m 2"], segments: Float[Tensor, "m 2 2"]) -> Float[Tensor, "m"]:
    """Squared distance of points to segments."""
    return ((points - _nearest_point(points, segments))**2).sum(-1)
