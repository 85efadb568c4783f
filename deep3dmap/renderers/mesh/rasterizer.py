"""Rasterisers: from meshes and cameras to the faces visible in each pixel, differentiable in positions and cameras.

Visibility is computed without gradients, by one of several implementations; coordinates, depths and distances of the visible
faces are then computed with autograd. So all implementations have the same values and gradients.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.projection import project
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles, pixel_centers, select
from deep3dmap.renderers.mesh.triangles import barycentric_coordinates, clipped, edge_distance
from deep3dmap.structures import Cameras, Meshes

Select = Callable[[Triangles, tuple[int, int, int], RasterSettings], tuple[Tensor, Tensor]]


def rasterize(triangles: Triangles,
              size: tuple[int, int, int],
              settings: RasterSettings,
              select: Select = select) -> Fragments:
    """The fragments of projected triangles.

    Args:
        triangles: image coordinates, see :mod:`.triangles`.
        size: number of images, height, width.
        settings: see :class:`RasterSettings`.
        select: finds the triangles of each pixel.
    """
    pixel, slots = select(triangles, size, settings)
    filled = torch.nonzero(slots.flatten() >= 0)[:, 0]
    chosen = slots.flatten()[filled]
    corners = triangles.corners.index_select(0, chosen)
    points = pixel_centers(pixel[filled // slots.shape[1]], size).to(corners)
    barycentric = barycentric_coordinates(points, corners, settings.perspective_correct)
    inside = (barycentric.detach() >= 0).all(-1)
    barycentric = clipped(barycentric) if settings.clip_barycentric else barycentric
    depth = (barycentric * corners[..., 2]).sum(-1)
    distance = edge_distance(points, corners)
    if triangles.weights is not None:
        barycentric = (barycentric[..., None] * triangles.weights.index_select(0, chosen)).sum(1)
    values = (triangles.face[chosen], barycentric, depth, torch.where(inside, -distance, distance))
    parts = (v.new_full((slots.numel(), *v.shape[1:]), -1).index_copy(0, filled, v) for v in values)
    return Fragments(pixel, *(part.view(*slots.shape, *part.shape[1:]) for part in parts), size)


@RENDERERS.register_module()
class TorchRasterizer(nn.Module):
    """Rasteriser in plain torch, on any device.

    Args:
        faces_per_pixel: number of nearest faces kept in each pixel.
        blur_radius: a face also covers pixels within this squared distance of its edges, in units of half the image's
            shorter side (soft rasterisation); 0 for a hard one.
        perspective_correct: interpolate in scene space; None: for perspective cameras.
        cull_backfaces: drop faces whose corners run clockwise in the image.
        clip_barycentric: clamp barycentric coordinates of pixels outside a face; None: if ``blur_radius`` is positive.
        near: faces are clipped at this depth, world units.
    """

    _select = staticmethod(select)

    def __init__(self,
                 faces_per_pixel: int = 1,
                 blur_radius: float = 0.0,
                 perspective_correct: bool | None = None,
                 cull_backfaces: bool = False,
                 clip_barycentric: bool | None = None,
                 near: float = 1e-3):
        super().__init__()
        if faces_per_pixel < 1:
            raise ValueError(f"faces_per_pixel must be at least 1, got {faces_per_pixel}")
        if not blur_radius >= 0:
            raise ValueError(f"blur_radius must not be negative, got {blur_radius}")
        if not near > 0:
            raise ValueError(f"near must be positive, got {near}")
        self.perspective_correct, self.near = perspective_correct, near
        self.settings = RasterSettings(faces_per_pixel, blur_radius, True, cull_backfaces,
                                       blur_radius > 0 if clip_barycentric is None else clip_barycentric)

    def forward(self, meshes: Meshes, cameras: Cameras) -> Fragments:
        """The fragments of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Raises:
            ValueError: if the numbers of meshes and cameras differ and neither is 1, or vertices are not finite.
        """
        return self.rasterize(project(meshes, cameras, self.near), (max(len(meshes), len(cameras)), *cameras.size),
                              cameras.orthographic)

    def rasterize(self, triangles: Triangles, size: tuple[int, int, int], orthographic: bool = False) -> Fragments:
        """The fragments of projected triangles; see :func:`rasterize`."""
        perspective = not orthographic if self.perspective_correct is None else self.perspective_correct
        return rasterize(triangles, size, replace(self.settings, perspective_correct=perspective), self._select)


@RENDERERS.register_module()
class FastRasterizer(TorchRasterizer):
    """Rasteriser with a search compiled by numba on the CPU; plain torch on other devices.

    Arguments, values and gradients are those of :class:`TorchRasterizer`.
    """

    @staticmethod
    def _select(triangles: Triangles, size: tuple[int, int, int], settings: RasterSettings) -> tuple[Tensor, Tensor]:
        if triangles.corners.device.type != "cpu":
            return select(triangles, size, settings)
        from deep3dmap.renderers.mesh import fast_selection  # numba takes a second to import
        return fast_selection.select(triangles, size, settings)
