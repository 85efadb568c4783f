"""Offscreen OpenGL rendering with pyrender (Matl 2019): fast images, no gradients.

Geometry, colours, ambient and diffuse light agree with the other renderers; outlines are antialiased (four samples a pixel),
and highlights follow pyrender's microfacet model instead of Phong's. OpenGL needs the system's EGL library.
"""

import math
import os
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.camera_conversions import opengl_projection, to_opengl
from deep3dmap.geometry.mesh_operators import vertex_normals
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material
from deep3dmap.renderers.mesh.projection import check_batch
from deep3dmap.renderers.mesh.renderer import MeshImages
from deep3dmap.renderers.mesh.shader import GREY, Scene
from deep3dmap.renderers.mesh.textures import FaceGrids, Texture, UVTexture, VertexColors
from deep3dmap.structures import Cameras, Meshes

GAMMA = 2.2  # of pyrender's lit pictures
MARGIN = 1e-3  # of the near and far plane around the scene, relative


def load_pyrender():
    """The package, set up for offscreen rendering.

    Raises:
        MissingDependencyError: if it, or the system's EGL library, is missing.
    """
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    if not hasattr(np, "infty"):
        np.infty = np.inf  # pyrender 0.1.45 still uses a name removed in numpy 2
    try:
        import pyrender
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"PyrenderRenderer needs pyrender: pip install pyrender ({error})") from None
    except (ImportError, AttributeError) as error:  # raised by PyOpenGL if a library can't be loaded
        raise MissingDependencyError("PyrenderRenderer needs OpenGL's EGL library (Debian, Ubuntu: apt install libegl1 "
                                     f"libgl1) besides pyrender (pip install pyrender): {error}") from None
    return pyrender


@cache
def _offscreen():
    """The process's only offscreen renderer: deleting one of several would also close the EGL connection of the others."""
    return load_pyrender().OffscreenRenderer(1, 1)


def _render(world, size: tuple[int, int], *arguments) -> tuple[Float[Tensor, "h w c"], Float[Tensor, "h w"]]:
    """Colours in [0, 1] and depths, with pyrender's flags."""
    surface = _offscreen()
    surface.viewport_height, surface.viewport_width = size
    color, depth = surface.render(world, *arguments)
    return torch.tensor(color.copy(), dtype=torch.float64) / 255, torch.tensor(depth.copy(), dtype=torch.float64)


@RENDERERS.register_module()
class PyrenderRenderer(nn.Module):
    """Renders meshes with OpenGL; takes the arguments of :class:`MeshRenderer`'s call, and has no gradients.

    ``alpha`` is the part of each pixel that is covered, in quarters; ``depth`` is that at the pixel's centre.

    Args:
        background: RGB of the background.
        near: faces are clipped at this depth, world units.

    Raises:
        MissingDependencyError: without pyrender or EGL.
    """

    def __init__(self, background: Sequence[float] = (1.0, 1.0, 1.0), near: float = 1e-3):
        super().__init__()
        if not near > 0:
            raise ValueError(f"near must be positive, got {near}")
        self.background, self.near = tuple(background), near
        self.pyrender = load_pyrender()

    @torch.no_grad()
    def forward(self,
                meshes: Meshes,
                cameras: Cameras,
                texture: Texture | None = None,
                lights: Lights | None = None,
                material: Material = PLAIN) -> MeshImages:
        """Images of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Args:
            meshes: in the world.
            cameras: images of one size.
            texture: of the meshes, three channels in [0, 1]; grey without one.
            lights: None for the unlit colours of the texture.
            material: of the meshes; the width of highlights is derived from ``shininess``; their strength is pyrender's.

        Raises:
            ValueError: for inconsistent meshes, cameras and textures, or a texture that OpenGL doesn't support.
        """
        check_batch(meshes, cameras)
        scene = Scene(meshes, cameras, texture, lights, material)
        views = [self._view(scene, i) for i in range(max(len(meshes), len(cameras)))]
        color, alpha, depth = (torch.stack(images).to(meshes.vertices) for images in zip(*views))
        return MeshImages(color, alpha, depth)

    def _view(self, scene: Scene, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """One image: colour (h, w, 3), coverage (h, w), depth (h, w)."""
        camera, mesh = scene.cameras[view % len(scene.cameras)].to("cpu", torch.float64), view % len(scene.meshes)
        height, width = camera.size
        background = torch.tensor(self.background, dtype=torch.float64)
        z = camera.project(scene.meshes.vertices.split(scene.meshes.vertex_counts)[mesh].double())[1]
        if not scene.meshes.face_counts[mesh] or z.max() <= self.near:
            return background.expand(height, width, 3), torch.zeros(height, width), torch.zeros(height, width)
        planes = max(self.near, float(z.min()) * (1 - MARGIN)), float(z.max()) * (1 + MARGIN)
        rgba, depth = self._draw(scene, view, camera, planes)
        if scene.lights is not None:
            rgba = torch.cat([rgba[..., :3]**GAMMA, rgba[..., 3:]], -1)
        return rgba[..., :3] + (1 - rgba[..., 3:]) * background, rgba[..., 3], depth

    def _draw(self, scene: Scene, view: int, camera: Cameras, planes: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """Colours over black, with coverage (h, w, 4), and depths (h, w)."""
        pyrender, lit = self.pyrender, scene.lights is not None
        lens = pyrender.PerspectiveCamera(1.0, *planes)
        matrix = opengl_projection(camera.K, camera.size, planes, camera.orthographic)[0].numpy()
        lens.get_projection_matrix = lambda width, height: matrix
        world = pyrender.Scene(bg_color=np.zeros(4))
        world.add(lens, pose=to_opengl(camera.world_to_cam)[0].numpy())
        node = world.add(pyrender.Mesh([self._primitive(scene, view)]))
        if lit:
            self._add_lights(world, scene, view)
        both_sides = pyrender.RenderFlags.SKIP_CULL_FACES
        shaded = both_sides | pyrender.RenderFlags.RGBA | (0 if lit else pyrender.RenderFlags.FLAT)
        rgba, _ = _render(world, camera.size, shaded)
        # for segmentation masks, pyrender samples the pixel's centre; otherwise it would read the depth of one of four samples
        _, depth = _render(world, camera.size, both_sides | pyrender.RenderFlags.SEG, {node: 255})
        if camera.orthographic:  # pyrender has undone a perspective division
            depth = torch.where(depth > 0, sum(planes) - math.prod(planes) / depth, 0)
        return rgba, depth

    def _primitive(self, scene: Scene, view: int):
        """The view's mesh with its colours; faces don't share vertices, since texture coordinates belong to corners."""
        meshes, pyrender = scene.meshes, self.pyrender
        mine = torch.nonzero(meshes.face_mesh == view % len(meshes))[:, 0]
        corners = meshes.faces[mine]
        normals = vertex_normals(meshes.vertices, meshes.faces)
        look = dict(baseColorFactor=[1.0] * 4, metallicFactor=0.0, doubleSided=True, roughnessFactor=_roughness(scene, view))
        values = {}
        if isinstance(scene.texture, UVTexture):
            uv = scene.texture.uv[scene.texture.faces[mine]].flatten(0, 1)
            image = scene.texture.image[view % len(meshes) if len(scene.texture.image) > 1 else 0]
            look["baseColorTexture"] = self._texture(scene.texture, image, scene.lights is not None)
            values["texcoord_0"] = _opengl_uv(scene.texture, uv).cpu().numpy().astype(np.float32)
        else:
            values["color_0"] = _corner_colors(scene, mine).cpu().numpy().astype(np.float32)
        return pyrender.Primitive(positions=_array(meshes.vertices[corners]), normals=_array(normals[corners]),
                                  material=pyrender.MetallicRoughnessMaterial(**look), **values)  # yapf: disable

    def _texture(self, texture: UVTexture, image: Float[Tensor, "h w 3"], lit: bool):
        """The texture for OpenGL; encoded as sRGB if lit, since pyrender decodes it then."""
        filters = {"bilinear": self.pyrender.GLTF.LINEAR, "nearest": self.pyrender.GLTF.NEAREST}
        wraps = {"border": self.pyrender.GLTF.CLAMP_TO_EDGE, "reflection": self.pyrender.GLTF.MIRRORED_REPEAT,
                 "repeat": self.pyrender.GLTF.REPEAT}  # yapf: disable
        if texture.mode not in filters or texture.padding not in wraps:
            raise ValueError(f"PyrenderRenderer doesn't support a texture of mode '{texture.mode}' and padding "
                             f"'{texture.padding}'; expected {' or '.join(filters)}, and {', '.join(wraps)}")
        image = image.clamp(0, 1)
        image = torch.where(image <= 0.0031308, 12.92 * image, 1.055 * image**(1 / 2.4) - 0.055) if lit else image
        look, wrap = filters[texture.mode], wraps[texture.padding]
        sampler = self.pyrender.Sampler(magFilter=look, minFilter=look, wrapS=wrap, wrapT=wrap)
        opaque = torch.cat([image, torch.ones_like(image[..., :1])],
                           -1)  # four channels, as OpenGL reads rows in fours of bytes
        pixels = (opaque * 255).round().byte().cpu().numpy()
        return self.pyrender.Texture(source=pixels, source_channels="RGBA", sampler=sampler)

    def _add_lights(self, world, scene: Scene, view: int) -> None:
        """Ambient light, and one light with the given intensity at the mesh's centre."""
        lights, material = scene.lights, scene.material
        world.ambient_light = _of(material.ambient, view) * _of(lights.ambient, view)
        color = math.pi * _of(material.diffuse, view) * _of(lights.diffuse, view)
        strength = max(float(color.max()), 1e-9)
        if lights.location is not None:
            location = _of(lights.location, view)
            distance = np.linalg.norm(location - world.centroid)
            lamp = self.pyrender.PointLight(color=color / strength, intensity=strength * distance**2)
            world.add(lamp, pose=_pose(np.eye(3), location))
        elif lights.direction is not None:
            lamp = self.pyrender.DirectionalLight(color=color / strength, intensity=strength)
            world.add(lamp, pose=_pose(_facing(_of(lights.direction, view)), np.zeros(3)))


def _array(corners: Float[Tensor, "f 3 3"]) -> np.ndarray:
    return corners.flatten(0, 1).cpu().numpy().astype(np.float32)


def _of(value, view: int) -> np.ndarray:
    """A view's value of a quantity given for all views or for each."""
    value = torch.as_tensor(value).double().cpu()
    return (value[view % len(value)] if value.dim() > 1 else value).numpy()


def _roughness(scene: Scene, view: int) -> float:
    """The roughness for highlights as wide as Phong's (Walter et al. 2007; pyrender squares it)."""
    shininess = torch.as_tensor(scene.material.shininess).reshape(-1)
    return (2 / (float(shininess[view % len(shininess)]) + 2))**0.25


def _pose(rotation: np.ndarray, location: np.ndarray) -> np.ndarray:
    return np.block([[rotation, location[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])


def _facing(direction: np.ndarray) -> np.ndarray:
    """A rotation whose z axis has a direction: OpenGL's lights point along -z."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(np.eye(3)[np.abs(z).argmin()], z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z], 1)


def _opengl_uv(texture: UVTexture, uv: Float[Tensor, "m 2"]) -> Float[Tensor, "m 2"]:
    """Texture coordinates where 0 and 1 are the outer edges of the image's pixels, as they are already if repeated."""
    if not texture.align_corners or texture.padding == "repeat":
        return uv
    extent = torch.tensor([texture.image.shape[2], texture.image.shape[1]]).to(uv)
    return (uv * (extent - 1) + 0.5) / extent


def _corner_colors(scene: Scene, faces: Tensor) -> Float[Tensor, "m 3"]:
    """Colours at the corners of the given faces."""
    texture = scene.texture
    if texture is None:
        return torch.full((3 * len(faces), 3), GREY)
    if isinstance(texture, VertexColors):
        return texture.colors[scene.meshes.faces[faces]].flatten(0, 1)
    if isinstance(texture, FaceGrids) and texture.colors.shape[1] == 1:
        return texture.colors[faces, 0, 0].repeat_interleave(3, 0)
    raise ValueError("PyrenderRenderer supports FaceGrids of one colour a face only; use VertexColors or a UVTexture")
