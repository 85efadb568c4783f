"""A rasteriser that casts a ray through each pixel's centre: exact, and independent of the order of the faces."""

import numpy as np
import torch
import trimesh
from torch import nn

from deep3dmap.geometry.ray_casting import RayHits, cast_rays
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.projection import check_batch
from deep3dmap.structures import Cameras, Meshes


@RENDERERS.register_module()
class RayCastRasterizer(nn.Module):
    """The first face hit by the ray through each pixel's centre, in double precision, by Embree on the CPU.

    Not differentiable. Distances to edges are minus infinity, so outlines are hard.
    """

    def __init__(self):
        super().__init__()
        # kept because building the search trees takes longer than their use
        self._last: tuple[Meshes, int | None, list[trimesh.Trimesh]] | None = None

    def forward(self, meshes: Meshes, cameras: Cameras) -> Fragments:
        """The fragments of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Raises:
            ValueError: see :func:`check_batch`.
        """
        check_batch(meshes, cameras)
        version = None if meshes.vertices.is_inference() else meshes.vertices._version  # counts changes in place
        if self._last is None or self._last[0] is not meshes or self._last[1] != version:
            self._last = meshes, version, [trimesh.Trimesh(*(x.detach().cpu().numpy() for x in pair), process=False)
                                           for pair in meshes.unpack()]  # yapf: disable
        scenes, views = self._last[2], max(len(meshes), len(cameras))
        starts = np.cumsum((0, *meshes.face_counts))
        parts = []
        for view in range(views):
            camera = cameras[view % len(cameras)].to("cpu", torch.float64)
            rays = camera.view_rays(0)
            hits = cast_rays(scenes[view % len(scenes)], rays.origins, rays.directions)
            part = hit_fragments(hits, hits.distance * (rays.directions @ camera.axes[0]))
            parts.append((part.pixel + view * len(hits.hit), part.face + int(starts[view % len(scenes)]), part.barycentric,
                          part.depth, part.distance))  # yapf: disable
        device = meshes.vertices.device
        return Fragments(*(torch.cat(values).to(device) for values in zip(*parts)), (views, *cameras.size))


def hit_fragments(hits: RayHits, depth: torch.Tensor | None = None) -> Fragments:
    """Ray hits as the fragments of one row of pixels.

    Args:
        hits: of ``r`` rays.
        depth: (r,) z in the camera's frame; by default the distance along the ray.
    """
    pixel = torch.nonzero(hits.hit)[:, 0]
    depth = (hits.distance if depth is None else depth)[pixel, None]
    return Fragments(pixel, hits.face[pixel, None], hits.barycentric[pixel, None], depth, torch.full_like(depth, -torch.inf),
                     (1, 1, len(hits.hit)))  # yapf: disable
