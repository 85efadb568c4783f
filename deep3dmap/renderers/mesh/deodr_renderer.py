"""Rendering by deodr: fast on the CPU, with outlines antialiased over about a pixel, and their gradients.

deodr draws every triangle with a z-buffer and then blends the outline's edges over what lies behind, which makes the image
a continuous function of the vertices (de La Gorce, Paragios and Fleet, "Model-based 3D hand pose estimation from monocular
video", PAMI 2011). It interpolates linearly in the image; here the interpolated values are colours and depths divided by the
depth, and the inverse depth; their quotients are perspective-correct.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.triangles import unique_edges
from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material
from deep3dmap.renderers.mesh.projection import check_batch
from deep3dmap.renderers.mesh.renderer import MeshImages
from deep3dmap.renderers.mesh.shader import Scene
from deep3dmap.renderers.mesh.textures import Texture, VertexColors
from deep3dmap.renderers.mesh.toy import vertex_light
from deep3dmap.renderers.mesh.triangles import cross
from deep3dmap.structures import Cameras, Meshes


def load_deodr():
    """The package.

    Raises:
        MissingDependencyError: if it is not installed.
    """
    try:
        import deodr.differentiable_renderer
    except ImportError as error:
        raise MissingDependencyError(f"DeodrRenderer needs deodr: pip install deodr ({error})") from None
    return deodr.differentiable_renderer


@RENDERERS.register_module()
class DeodrRenderer(nn.Module):
    """Renders closed meshes with vertex colours, on the CPU; back faces, and faces with a corner nearer than ``near``, are
    dropped. Takes the arguments of :class:`MeshRenderer`'s call.

    Args:
        sigma: width over which outlines fade outwards, pixels.
        background: RGB of the background.
        near: least depth, world units.

    Raises:
        MissingDependencyError: if deodr is not installed.
    """

    def __init__(self, sigma: float = 1.0, background: Sequence[float] = (1.0, 1.0, 1.0), near: float = 1e-3):
        super().__init__()
        for value, name in ((sigma, "sigma"), (near, "near")):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        self.sigma, self.background, self.near = sigma, tuple(background), near
        self.package = load_deodr()

    def forward(self,
                meshes: Meshes,
                cameras: Cameras,
                texture: Texture | None = None,
                lights: Lights | None = None,
                material: Material = PLAIN) -> MeshImages:
        """Images of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Raises:
            ValueError: for inconsistent meshes and cameras, and textures other than ``VertexColors``.
        """
        check_batch(meshes, cameras)
        if not isinstance(texture, VertexColors | None):
            raise ValueError(f"DeodrRenderer shows VertexColors, got {type(texture).__name__}")
        scene = Scene(meshes, cameras, texture, lights, material)
        views = [self._view(scene, i) for i in range(max(len(meshes), len(cameras)))]
        return MeshImages(*(torch.stack(images).to(meshes.vertices) for images in zip(*views)))

    def _view(self, scene: Scene, view: int) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"], Float[Tensor, "h w"]]:
        """Colour, opacity and depth of one image."""
        camera = scene.cameras[view % len(scene.cameras)]
        pixels, z = (x[0] for x in camera.to(scene.meshes.vertices).project(scene.meshes.vertices))
        faces = scene.meshes.faces[scene.meshes.face_mesh == view % len(scene.meshes)]
        faces = faces[(z[faces] > self.near).all(-1)]
        used, faces = faces.unique(return_inverse=True)
        pixels, z, light = pixels[used], z[used], vertex_light(scene, view)[used]
        opaque = torch.ones_like(z)
        inverse = opaque if camera.orthographic else 1 / z
        values = torch.cat([light * inverse[:, None], torch.stack([z * inverse, inverse, opaque], -1)], -1)
        image = _Draw.apply(pixels, z.detach(), values, faces, camera.size, self.sigma, self.package)
        alpha = image[..., -1]
        seen = alpha > 0
        surface = image[..., :4] / torch.where(seen, image[..., 4], 1)[..., None]
        color = alpha[..., None] * surface[..., :3] + (1 - alpha)[..., None] * torch.tensor(self.background).to(image)
        return color, alpha, torch.where(seen, surface[..., 3], 0)


def outline_flags(pixels: Float[Tensor, "v 2"], faces: Int[Tensor, "f 3"]) -> Bool[Tensor, "f 3"]:
    """Edges (0 1), (1 2), (2 0) of faces between a front face and a back face, or on the boundary of a front face."""
    corners, edges = pixels[faces], unique_edges(faces)
    front = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) < 0
    count = torch.bincount(edges.of_faces[front].flatten(), minlength=len(edges.vertices))
    return (count == 1)[edges.of_faces[:, [2, 0, 1]]]


class _Draw(torch.autograd.Function):
    """An image (h, w, c) of values at vertices, differentiable in their pixel coordinates and in the values."""

    @staticmethod
    def forward(ctx, pixels, z, values, faces, size, sigma, package):
        arrays = [x.detach().cpu().double().numpy() for x in (pixels, z, values)]
        corners, none = faces.cpu().numpy().astype(np.uint32), np.zeros(len(faces), bool)
        scene = package.Scene2D(faces=corners, faces_uv=corners, ij=arrays[0], depths=arrays[1], colors=arrays[2],
                                textured=none, shaded=none, uv=np.zeros((len(pixels), 2)), shade=np.zeros(len(pixels)),
                                texture=np.zeros((0, 0)), edgeflags=outline_flags(pixels, faces).cpu().numpy(),
                                height=size[0], width=size[1], nb_colors=values.shape[1],
                                background_color=np.zeros(values.shape[1]), backface_culling=True,
                                integer_pixel_centers=False)  # yapf: disable
        image, _ = scene.render(sigma)
        ctx.scene, ctx.like = scene, pixels.detach()[:0]
        return torch.tensor(image).to(pixels)

    @staticmethod
    def backward(ctx, gradient):
        ctx.scene.clear_gradients()
        ctx.scene.render_backward(np.ascontiguousarray(gradient.cpu().double().numpy()))
        pixels, values = (torch.tensor(x).to(ctx.like) for x in (ctx.scene.ij_b, ctx.scene.colors_b))
        return pixels, None, values, None, None, None, None
