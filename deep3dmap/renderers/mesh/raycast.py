"""Images of triangle meshes by ray casting on the CPU: colour, exact masks, depth and normals.

Masks, depth and normals are those of the ray through each pixel's centre; only colours are averaged over a pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from deep3dmap.geometry.ray_casting import RayHits, cast_rays
from deep3dmap.structures.cameras import Cameras

GREY = 0.75


@dataclass(frozen=True)
class MeshRender:
    """Renderings of a mesh from ``n`` cameras, on the CPU.

    Attributes:
        color: (n, h, w, 3) float32 in [0, 1], background included.
        mask: (n, h, w) True where the ray through the pixel's centre meets the mesh.
        depth: (n, h, w) float32 z in the camera's frame, world units; 0 for the background.
        normals: (n, h, w, 3) float32 outward unit normals in the world; 0 for the background.
    """

    color: Float[Tensor, "n h w 3"]
    mask: Bool[Tensor, "n h w"]
    depth: Float[Tensor, "n h w"]
    normals: Float[Tensor, "n h w 3"]


@dataclass(frozen=True)
class SurfacePoints:
    """The ``p`` surface points passed to a shading.

    Attributes:
        albedo: (p, 3) in [0, 1].
        points: (p, 3) in the world.
        normals: (p, 3) outward unit normals.
        directions: (p, 3) unit directions from the camera to the points.
        values: (p, d) the mesh's vertex values, interpolated, if ``render_mesh`` was given any, or None.
    """

    albedo: Float[Tensor, "p 3"]
    points: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    directions: Float[Tensor, "p 3"]
    values: Float[Tensor, "p d"] | None = None


Shading = Callable[[SurfacePoints], Tensor]


def unlit(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """The surface's own colour."""
    return surface.albedo


def headlight(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """Lambertian shading by a light at the camera, the same for both sides of a triangle, with a little ambient light."""
    cosine = (surface.normals * surface.directions).sum(-1, keepdim=True).abs()
    return surface.albedo * (0.2 + 0.8 * cosine)


def normal_colors(surface: SurfacePoints) -> Float[Tensor, "p 3"]:
    """World normals as colours: x red, y green, z blue, from -1 (dark) to 1 (bright)."""
    return 0.5 + 0.5 * surface.normals


SHADINGS: dict[str, Shading] = {"none": unlit, "headlight": headlight, "normals": normal_colors}


def render_mesh(mesh: trimesh.Trimesh,
                cameras: Cameras,
                *,
                supersample: int = 1,
                shading: str | Shading = "none",
                background: Sequence[float] = (1.0, 1.0, 1.0),
                albedo: Callable[[Tensor], Tensor] | None = None,
                values: Float[Tensor, "v d"] | None = None,
                smooth: bool = True) -> MeshRender:
    """Render a mesh from every camera.

    Args:
        mesh: with vertex, face or texture colours, or none (then grey).
        cameras: in the mesh's frame.
        supersample: colours are averaged over ``supersample**2`` rays per pixel.
        shading: a name of :data:`SHADINGS`, or a function of :class:`SurfacePoints` that returns (p, 3) colours.
        background: RGB in [0, 1].
        albedo: colours (p, 3) of surface points (p, 3), instead of the mesh's own.
        values: (v, d) vertex attributes for the shading.
        smooth: normals interpolated between vertices, or else those of the triangles.

    Raises:
        ValueError: if ``shading`` is not known or ``supersample`` is below 1.
    """
    if isinstance(shading, str) and shading not in SHADINGS:
        raise ValueError(f"unknown shading '{shading}': expected one of {', '.join(SHADINGS)}, or a function")
    if supersample < 1:
        raise ValueError(f"supersample must be at least 1, got {supersample}")
    scene = _Scene(mesh, SHADINGS[shading] if isinstance(shading, str) else shading, albedo, smooth,
                   torch.tensor(background, dtype=torch.float64), values)
    cameras = cameras.to("cpu", torch.float64)
    views = [_render_view(scene, cameras, view, supersample) for view in range(len(cameras))]
    return MeshRender(*(torch.stack(images) for images in zip(*views)))


@dataclass(frozen=True)
class _Scene:
    mesh: trimesh.Trimesh
    shading: Shading
    albedo: Callable[[Tensor], Tensor] | None
    smooth: bool
    background: Float[Tensor, "3"]
    values: Float[Tensor, "v d"] | None

    def shade(self, rays, hits: RayHits) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r 3"]]:
        """Colours and normals of all rays."""
        hit, normals = hits.hit, hit_normals(self.mesh, hits, self.smooth)
        points = rays.points(hits.distance)[hit]
        albedo = hit_colors(self.mesh, hits)[hit] if self.albedo is None else self.albedo(points)
        color = self.background.repeat(len(hit), 1)
        values = None if self.values is None else hits.interpolate(self.mesh, self.values)[hit]
        surface = SurfacePoints(albedo.double(), points, normals[hit], rays.directions[hit], values)
        color[hit] = self.shading(surface).clamp(0, 1)
        return color, normals


def _render_view(scene: _Scene, cameras: Cameras, view: int, supersample: int):
    """Colour, mask, depth and normals of one view."""
    rays = cameras.view_rays(view)
    hits = cast_rays(scene.mesh, rays.origins, rays.directions)
    color, normals = scene.shade(rays, hits)
    if supersample > 1:
        color = _average_colors(scene, cameras, view, supersample)
    depth = hits.distance * (rays.directions @ cameras.axes[view])
    size = cameras.size
    return color.float().view(*size, 3), hits.hit.view(size), depth.float().view(size), normals.float().view(*size, 3)


def _average_colors(scene: _Scene, cameras: Cameras, view: int, supersample: int) -> Float[Tensor, "r 3"]:
    """Mean colour over a regular grid of rays in each pixel; one ray per pixel at a time bounds the memory."""
    centres = cameras.view_rays(view)
    steps = (torch.arange(supersample) + 0.5) / supersample - 0.5
    total = torch.zeros(len(centres), 3, dtype=torch.float64)
    for offset in torch.cartesian_prod(steps, steps).double():
        rays = cameras.rays(centres.camera, centres.uv + offset)
        total += scene.shade(rays, cast_rays(scene.mesh, rays.origins, rays.directions))[0]
    return total / supersample**2


def hit_normals(mesh: trimesh.Trimesh, hits: RayHits, smooth: bool = True) -> Float[Tensor, "r 3"]:
    """Outward unit normals where rays meet a mesh; 0 for rays that miss."""
    if smooth:
        return normalize(hits.interpolate(mesh, torch.tensor(mesh.vertex_normals)), dim=-1)
    return torch.tensor(mesh.face_normals)[hits.face] * hits.hit[:, None]


def hit_colors(mesh: trimesh.Trimesh, hits: RayHits) -> Float[Tensor, "r 3"]:
    """A mesh's own colours in [0, 1] where rays meet it; grey without colours; 0 for rays that miss."""
    visual, hit = mesh.visual, hits.hit[:, None]
    image = _texture(visual)
    if image is not None:
        return _sample_texture(image, hits.interpolate(mesh, torch.tensor(np.asarray(visual.uv)))) * hit
    if visual.kind == "texture":
        visual = visual.to_color()
    if visual.kind is None:
        return GREY * hit.double().expand(-1, 3)
    if visual.kind == "face":
        return torch.tensor(visual.face_colors[:, :3] / 255.0)[hits.face] * hit
    return hits.interpolate(mesh, torch.tensor(visual.vertex_colors[:, :3] / 255.0))


def _texture(visual) -> Float[Tensor, "h w 3"] | None:
    """A mesh's texture image, if it has one with texture coordinates."""
    if visual.kind != "texture" or visual.uv is None:
        return None
    image = getattr(visual.material, "image", None) or getattr(visual.material, "baseColorTexture", None)
    return None if image is None else torch.tensor(np.asarray(image.convert("RGB")) / 255.0)


def _sample_texture(image: Float[Tensor, "h w 3"], uv: Float[Tensor, "r 2"]) -> Float[Tensor, "r 3"]:
    """Bilinear colours at texture coordinates (u right, v up, in [0, 1]; the texture repeats outside)."""
    inside = uv - torch.floor(uv)
    grid = torch.stack([2 * inside[:, 0] - 1, 1 - 2 * inside[:, 1]], -1)
    sampled = grid_sample(image.permute(2, 0, 1)[None], grid[None, None], padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T
