"""Shaders: from the visible faces of pixels to colours and opacities."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deep3dmap.geometry.mesh_operators import face_normals, vertex_normals
from deep3dmap.geometry.triangles import unique_edges
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh import blending
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material, check_lights, illuminate
from deep3dmap.renderers.mesh.outline import outline_opacity
from deep3dmap.renderers.mesh.projection import image_points
from deep3dmap.renderers.mesh.textures import Texture, VertexColors, check_texture
from deep3dmap.structures import Cameras, Meshes

GREY = 0.75
SHADINGS = ("phong", "gouraud", "flat", "normals", "none")
BLENDINGS = ("hard", "outline", "sigmoid", "softmax")


@dataclass(frozen=True)
class Scene:
    """The content of images: meshes, their texture (None: grey), cameras, and lights (None: unlit).

    Raises:
        ValueError: if the texture doesn't match the meshes, or lights or material the number of images.
    """

    meshes: Meshes
    cameras: Cameras
    texture: Texture | None = None
    lights: Lights | None = None
    material: Material = PLAIN

    def __post_init__(self):
        check_texture(self.texture, self.meshes)
        check_lights(self.lights, self.material, max(len(self.meshes), len(self.cameras)))


def check_blending(sigma: float, gamma: float, near: float, far: float) -> None:
    """Check the settings of soft blending.

    Raises:
        ValueError: that names the setting.
    """
    for value, name in ((sigma, "sigma"), (gamma, "gamma")):
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}")
    if not 0 <= near < far:
        raise ValueError(f"near and far must be 0 <= near < far, got {near} and {far}")


@RENDERERS.register_module()
class MeshShader(nn.Module):
    """Shades fragments and blends the faces of each pixel.

    Args:
        shading: ``phong`` (lit per pixel), ``gouraud`` (per vertex), ``flat`` (per face), ``normals`` (world normals
            as colours: x red, y green, z blue, -1 dark and 1 bright), ``none`` (unlit colour).
        blending: ``hard`` (the nearest face), ``softmax`` (soft in colour and outline), ``sigmoid`` (soft
            edges of faces), ``outline`` (the nearest face, and a soft outline of the whole mesh; needs one face a pixel and no
            blur).
        sigma: squared distance, in the fragments' units, over which a face's edge fades.
        gamma: softness of softmax blending in depth; smaller prefers the nearest face more.
        background: RGB of the background.
        near: depth of largest nearness in softmax blending, world units.
        far: depth of nearness 0 in softmax blending, world units.

    Raises:
        ValueError: for an unknown shading or blending, ``sigma`` or ``gamma`` that is not positive, or unless
            ``0 <= near < far``.
    """

    def __init__(self,
                 shading: str = "phong",
                 blending: str = "hard",
                 sigma: float = 1e-4,
                 gamma: float = 1e-4,
                 background: Sequence[float] = (1.0, 1.0, 1.0),
                 near: float = 1.0,
                 far: float = 100.0):
        super().__init__()
        for value, known, name in ((shading, SHADINGS, "shading"), (blending, BLENDINGS, "blending")):
            if value not in known:
                raise ValueError(f"{name}='{value}': expected one of {', '.join(known)}")
        check_blending(sigma, gamma, near, far)
        self.shading, self.blending, self.sigma, self.gamma = shading, blending, sigma, gamma
        self.background, self.near, self.far = tuple(background), near, far

    def forward(self, fragments: Fragments, scene: Scene) -> tuple[Float[Tensor, "n h w c"], Float[Tensor, "n h w"]]:
        """Images of colours and opacities.

        Raises:
            ValueError: if texture and background have different numbers of channels.
        """
        colors = self.colors(fragments if self.blending == "softmax" else fragments.nearest, scene)
        if colors.shape[-1] != len(self.background):
            raise ValueError(f"the texture has {colors.shape[-1]} channels, but background has {len(self.background)}")
        background = torch.tensor(self.background).to(colors)
        color, alpha = self._blended(colors, fragments, background)
        images = fragments.to_images(color, background), fragments.to_images(alpha)
        return (images[0], outline_opacities(images[1] > 0.5, scene, self.sigma)) if self.blending == "outline" else images

    def _blended(self, colors: Float[Tensor, "p k c"], fragments: Fragments,
                 background: Float[Tensor, "c"]) -> tuple[Float[Tensor, "p c"], Float[Tensor, "p"]]:
        if self.blending == "sigmoid":
            return blending.sigmoid_blend(colors, fragments, background, self.sigma)
        if self.blending == "softmax":
            return blending.softmax_blend(colors, fragments, background, self.sigma, self.gamma, self.near, self.far)
        return blending.hard_blend(colors, fragments, background)

    def colors(self, fragments: Fragments, scene: Scene) -> Float[Tensor, "p k c"]:
        """The colour of each face in its pixel; 0 in empty slots."""
        meshes = scene.meshes
        if self.shading == "normals":
            normals = nn.functional.normalize(self._normals(fragments, meshes), dim=-1)
            return fragments.scatter(0.5 + 0.5 * normals)
        if self.shading == "gouraud" and scene.lights is not None:
            return self._gouraud(fragments, scene)
        if scene.texture is None:
            albedo = torch.where(fragments.hit[..., None], GREY, 0).to(meshes.vertices).expand(*fragments.face.shape, 3)
        else:
            albedo = scene.texture.sample(fragments, meshes)
        if self.shading == "none" or scene.lights is None:
            return albedo
        image = fragments.gather(fragments.image[:, None].expand_as(fragments.face))
        points, normals = self._surface(fragments, meshes)
        factor, added = illuminate(points, normals,
                                   scene.cameras.centers.to(points)[image % len(scene.cameras)], image, scene.lights,
                                   scene.material)
        return fragments.scatter(fragments.gather(albedo) * factor + added)

    def _surface(self, fragments: Fragments, meshes: Meshes) -> tuple[Float[Tensor, "hits 3"], Float[Tensor, "hits 3"]]:
        """Points and normals used for lighting, of the filled slots."""
        corners = meshes.vertices[meshes.faces]
        if self.shading == "flat":
            face = fragments.gather(fragments.face)
            return corners.mean(1)[face], face_normals(meshes.vertices, meshes.faces)[face]
        return fragments.interpolate_filled(corners), self._normals(fragments, meshes)

    @staticmethod
    def _normals(fragments: Fragments, meshes: Meshes) -> Float[Tensor, "hits 3"]:
        return fragments.interpolate_filled(vertex_normals(meshes.vertices, meshes.faces)[meshes.faces])

    @staticmethod
    def _gouraud(fragments: Fragments, scene: Scene) -> Float[Tensor, "p k 3"]:
        """Lit vertex colours, interpolated; computed for each image if several show one mesh."""
        meshes, views = scene.meshes, fragments.size[0]
        if scene.texture is None:
            albedo = torch.full_like(meshes.vertices, GREY)
        elif isinstance(scene.texture, VertexColors):
            albedo = scene.texture.colors
        else:
            raise ValueError(f"gouraud shading needs VertexColors, got {type(scene.texture).__name__}; use phong")
        vertices = len(meshes.vertices)
        repeats = views if len(meshes) == 1 else 1
        image = (torch.arange(views).repeat_interleave(vertices) if len(meshes) == 1 else meshes.vertex_mesh.cpu())
        image = image.to(meshes.vertices.device)
        points = meshes.vertices.repeat(repeats, 1)
        normals = vertex_normals(meshes.vertices, meshes.faces).repeat(repeats, 1)
        centers = scene.cameras.centers.to(points)[image % len(scene.cameras)]
        factor, added = illuminate(points, normals, centers, image, scene.lights, scene.material)
        colors = albedo.repeat(repeats, 1) * factor + added
        if repeats == 1:
            return fragments.interpolate(colors[meshes.faces])
        image = fragments.gather(fragments.image[:, None].expand_as(fragments.face))
        corners = meshes.faces[fragments.gather(fragments.face)] + (image * vertices)[:, None]
        return fragments.scatter((fragments.gather(fragments.barycentric)[..., None] * colors[corners]).sum(1))


def outline_opacities(covered: Bool[Tensor, "n h w"], scene: Scene, sigma: float) -> Float[Tensor, "n h w"]:
    """Soft silhouettes of the meshes of a scene; see :mod:`.outline`."""
    points, meshes = image_points(scene.meshes, scene.cameras), scene.meshes.unpack()
    edges = [unique_edges(faces) for _, faces in meshes]
    return torch.stack([outline_opacity(covered[i], points[i], meshes[i % len(meshes)][1], edges[i % len(meshes)], sigma)
                        for i in range(len(covered))])  # yapf: disable
