"""A renderer for teaching: every pixel is tested against every triangle, in plain torch.

Four steps, each a few lines: project the corners; find each pixel's barycentric coordinates in each triangle (they give
the inside test, the depth and the colour); take the nearest triangle; blur the edges if outlines are to have gradients (Liu et
al., "Soft Rasterizer", ICCV 2019, equations 2 and 6). Time and memory grow with pixels times triangles: for small
images, and as a reference for the other renderers.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deep3dmap.geometry.mesh_operators import vertex_normals
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material, illuminate
from deep3dmap.renderers.mesh.projection import check_batch
from deep3dmap.renderers.mesh.renderer import MeshImages
from deep3dmap.renderers.mesh.shader import GREY, Scene
from deep3dmap.renderers.mesh.textures import Texture, VertexColors
from deep3dmap.renderers.mesh.triangles import SMALL, cross
from deep3dmap.structures import Cameras, Meshes


@RENDERERS.register_module()
class ToyRenderer(nn.Module):
    """Renders meshes with vertex colours; triangles that reach behind the camera, or have no area, are dropped.

    Args:
        sigma: squared distance over which outlines fade, in units of half the image's shorter side; 0: hard outlines.
        background: RGB of the background.
    """

    def __init__(self, sigma: float = 0.0, background: Sequence[float] = (1.0, 1.0, 1.0)):
        super().__init__()
        if not sigma >= 0:
            raise ValueError(f"sigma must not be negative, got {sigma}")
        self.sigma, self.background = sigma, tuple(background)

    def forward(self,
                meshes: Meshes,
                cameras: Cameras,
                texture: Texture | None = None,
                lights: Lights | None = None,
                material: Material = PLAIN) -> MeshImages:
        """Images of mesh i seen by camera i, or of one by all of the others; arguments as of :class:`MeshRenderer`."""
        check_batch(meshes, cameras)
        if not isinstance(texture, VertexColors | None):
            raise ValueError(f"ToyRenderer shows VertexColors, got {type(texture).__name__}")
        scene = Scene(meshes, cameras, texture, lights, material)
        views = [self.view(scene, i) for i in range(max(len(meshes), len(cameras)))]
        return MeshImages(*(torch.stack(images) for images in zip(*views)))

    def view(self, scene: Scene, view: int) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
        """Colour, opacity and depth of one image."""
        camera = scene.cameras[view % len(scene.cameras)].to(scene.meshes.vertices)
        height, width = camera.size
        faces = scene.meshes.faces[scene.meshes.face_mesh == view % len(scene.meshes)]
        background = torch.tensor(self.background).to(scene.meshes.vertices)
        # 1. Project: corners of triangles as (x, y) in units of half the shorter side, and their depths.
        pixels, depths = camera.project(scene.meshes.vertices)
        corners, z = pixels[0, faces] * 2 / min(height, width), depths[0, faces]
        seen = (z > 0).all(-1) & (cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).abs() > SMALL)
        corners, z, faces = corners[seen], z[seen], faces[seen]
        if not len(faces):
            return background.expand(height, width, 3), z.new_zeros(height, width), z.new_zeros(height, width)
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        points = (torch.stack([x, y], -1).view(-1, 2).to(corners) + 0.5) * 2 / min(height, width)
        # 2. Every pixel in every triangle: barycentric weights, inside test, depth.
        weights = barycentric(points, corners, z, camera.orthographic)
        inside = (weights >= 0).all(-1)
        depth = (weights * z).sum(-1)
        # 3. The nearest triangle of each pixel determines depth and colour.
        nearest = torch.where(inside, depth, torch.inf).argmin(-1)
        pixel, hit = torch.arange(height * width), inside.any(-1)
        color = (weights[pixel, nearest][..., None] * vertex_light(scene, view)[faces[nearest]]).sum(1)
        color = torch.where(hit[:, None], color, background)
        depth = torch.where(hit, depth[pixel, nearest], 0)
        # 4. Opacity: hard, or the probability that any triangle covers the pixel.
        alpha = hit.to(color) if self.sigma == 0 else soft_silhouette(points, corners, inside, self.sigma)
        return color.view(height, width, 3), alpha.view(height, width), depth.view(height, width)


def barycentric(points: Float[Tensor, "p 2"], corners: Float[Tensor, "f 3 2"], z: Float[Tensor, "f 3"],
                orthographic: bool) -> Float[Tensor, "p f 3"]:
    """Weights of the corners: in the image, the areas opposite of them; with perspective, 1 / depth is linear there."""
    a, b, c = (corners[:, i] - points[:, None] for i in range(3))
    weights = torch.stack([cross(b, c), cross(c, a), cross(a, b)], -1)
    weights = weights / cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, None]
    if orthographic:
        return weights
    weights = weights / z
    return weights / weights.sum(-1, keepdim=True).clamp(min=SMALL)  # 0 where the triangle's plane vanishes


def vertex_light(scene: Scene, view: int) -> Float[Tensor, "v 3"]:
    """The colours of vertices under the lights (Gouraud, 1971)."""
    points = scene.meshes.vertices
    colors = torch.full_like(points, GREY) if scene.texture is None else scene.texture.colors
    if scene.lights is None:
        return colors
    image = torch.full((len(points), ), view, device=points.device)
    centers = scene.cameras.centers.to(points)[image % len(scene.cameras)]
    normals = vertex_normals(points, scene.meshes.faces)
    factor, added = illuminate(points, normals, centers, image, scene.lights, scene.material)
    return colors * factor + added


def soft_silhouette(points: Float[Tensor, "p 2"], corners: Float[Tensor, "f 3 2"], inside: Bool[Tensor, "p f"],
                    sigma: float) -> Float[Tensor, "p"]:
    """One minus the probability that no triangle covers the pixel; each covers it with a sigmoid of its edge distance."""
    ends = corners.roll(-1, 1)
    edge, offset = ends - corners, points[:, None, None] - corners  # (f, 3, 2), (p, f, 3, 2)
    along = ((offset * edge).sum(-1) / (edge**2).sum(-1)).clamp(0, 1)
    squared = ((offset - along[..., None] * edge)**2).sum(-1).amin(-1)
    covering = torch.sigmoid(torch.where(inside, squared, -squared) / sigma)
    return 1 - (1 - covering).prod(-1)
