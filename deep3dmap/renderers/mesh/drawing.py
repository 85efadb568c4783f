"""Images of trimesh's meshes: colour, mask, depth and normals, by any rasteriser; not differentiable.

Masks, depth and normals are those of each pixel's centre; only colours are averaged over a pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.renderers.mesh.textures import FaceGrids, Texture, UVTexture, VertexColors
from deep3dmap.structures import Cameras, Meshes

GREY = 0.75


@dataclass(frozen=True)
class MeshRender:
    """Renderings of a mesh from ``n`` cameras, on the CPU.

    Attributes:
        color: (n, h, w, 3) float32 in [0, 1], background included.
        mask: (n, h, w) True where the mesh covers the pixel's centre.
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
                values: Float[Tensor, "v d"] | None = None,
                smooth: bool = True,
                rasterizer: nn.Module | None = None) -> MeshRender:
    """Render a mesh from every camera.

    Args:
        mesh: with vertex, face or texture colours, or none (then grey).
        cameras: in the mesh's frame.
        supersample: colours are averaged over ``supersample**2`` points of each pixel.
        shading: a name of :data:`SHADINGS`, or a function of :class:`SurfacePoints` that returns (p, 3) colours.
        background: RGB in [0, 1].
        values: (v, d) vertex attributes for the shading.
        smooth: normals interpolated between vertices, or else those of the triangles.
        rasterizer: the fast one by default.

    Raises:
        ValueError: if ``shading`` is not known or ``supersample`` is below 1.
    """
    if isinstance(shading, str) and shading not in SHADINGS:
        raise ValueError(f"unknown shading '{shading}': expected one of {', '.join(SHADINGS)}, or a function")
    if supersample < 1:
        raise ValueError(f"supersample must be at least 1, got {supersample}")
    scene = _Scene(mesh, as_meshes(mesh), texture_of(mesh), SHADINGS[shading] if isinstance(shading, str) else shading, smooth,
                   torch.tensor(background, dtype=torch.float64), values, rasterizer or FastRasterizer())
    cameras = cameras.to("cpu", torch.float64)
    with torch.no_grad():
        views = [scene.render(cameras[view], supersample) for view in range(len(cameras))]
    return MeshRender(*(torch.cat(images) for images in zip(*views)))


@dataclass(frozen=True)
class _Scene:
    mesh: trimesh.Trimesh
    meshes: Meshes
    texture: Texture
    shading: Shading
    smooth: bool
    background: Float[Tensor, "3"]
    values: Float[Tensor, "v d"] | None
    rasterizer: nn.Module

    def render(self, camera: Cameras, supersample: int) -> tuple[Tensor, ...]:
        """Colour, mask, depth and normals of one view."""
        fragments = self.rasterizer(self.meshes, camera)
        hit, normals = fragments.hit[:, 0], surface_normals(self.mesh, fragments, self.smooth)
        color = self.colors(camera, fragments, normals) if supersample == 1 else self.averaged(camera, supersample)
        depth = torch.where(hit, fragments.depth[:, 0], 0)
        images = (fragments.to_images(x).float() for x in (depth, normals))
        return color.float(), fragments.to_images(hit), *images

    def averaged(self, camera: Cameras, supersample: int) -> Float[Tensor, "1 h w 3"]:
        """Mean colour over a regular grid of points in each pixel, one of each at a time, which bounds the memory."""
        steps = (torch.arange(supersample) + 0.5) / supersample - 0.5
        total = torch.zeros(1, *camera.size, 3, dtype=torch.float64)
        for offset in torch.cartesian_prod(steps, steps).double():
            K = camera.K.clone()
            K[:, :2, 2] -= offset
            moved = replace(camera, K=K)
            fragments = self.rasterizer(self.meshes, moved)
            total += self.colors(moved, fragments, surface_normals(self.mesh, fragments, self.smooth))
        return total / supersample**2

    def colors(self, camera: Cameras, fragments: Fragments, normals: Float[Tensor, "p 3"]) -> Float[Tensor, "1 h w 3"]:
        """Shaded colours of the visible points, and the background."""
        hit = fragments.hit[:, 0]
        points = fragments.interpolate(self.meshes.vertices[self.meshes.faces])[:, 0][hit]
        values = None
        if self.values is not None:
            values = fragments.interpolate(self.values.double()[self.meshes.faces])[:, 0][hit]
        directions = camera.axes.expand_as(points) if camera.orthographic else normalize(points - camera.centers, dim=-1)
        albedo = self.texture.sample(fragments, self.meshes)[:, 0][hit]
        shaded = self.shading(SurfacePoints(albedo, points, normals[hit], directions, values)).clamp(0, 1).double()
        color = self.background.repeat(len(hit), 1)
        color[hit] = shaded
        return fragments.to_images(color, self.background)


def as_meshes(mesh: trimesh.Trimesh) -> Meshes:
    """A batch of one mesh in double precision."""
    return Meshes.pack([torch.tensor(np.asarray(mesh.vertices, dtype=np.float64))],
                       [torch.tensor(np.asarray(mesh.faces, dtype=np.int64)).reshape(-1, 3)])


def surface_normals(mesh: trimesh.Trimesh, fragments: Fragments, smooth: bool = True) -> Float[Tensor, "p 3"]:
    """Outward unit normals at the nearest fragments of a mesh; 0 where there is none."""
    if smooth:
        corners = torch.tensor(np.asarray(mesh.vertex_normals))[torch.tensor(np.asarray(mesh.faces))]
        return normalize(fragments.interpolate(corners)[:, 0], dim=-1)
    normals = torch.tensor(np.asarray(mesh.face_normals))
    return normals[fragments.face[:, 0]] * fragments.hit[:, :1] if len(normals) else normals.expand(len(fragments.pixel), 3)


def texture_of(mesh: trimesh.Trimesh) -> Texture:
    """A mesh's own colours in [0, 1], double precision; grey without any."""
    visual, faces = mesh.visual, torch.tensor(np.asarray(mesh.faces, dtype=np.int64)).reshape(-1, 3)
    image = _texture_image(visual)
    if image is not None:
        return UVTexture(image[None], torch.tensor(np.asarray(visual.uv, dtype=np.float64)), faces, padding="repeat",
                         align_corners=False)  # yapf: disable
    if visual.kind == "texture":
        visual = visual.to_color()
    if visual.kind is None:
        return VertexColors(torch.full((len(mesh.vertices), 3), GREY, dtype=torch.float64))
    if visual.kind == "face":
        return FaceGrids(torch.tensor(visual.face_colors[:, None, None, :3] / 255.0))
    return VertexColors(torch.tensor(visual.vertex_colors[:, :3] / 255.0))


def _texture_image(visual) -> Float[Tensor, "h w 3"] | None:
    """A mesh's texture image, if it has one with texture coordinates."""
    if visual.kind != "texture" or visual.uv is None:
        return None
    image = getattr(visual.material, "image", None) or getattr(visual.material, "baseColorTexture", None)
    return None if image is None else torch.tensor(np.asarray(image.convert("RGB")) / 255.0)
