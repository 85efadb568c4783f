"""Neural re-rendering (Kato, Ushiku and Harada, "Neural 3D Mesh Renderer", CVPR 2018), as used by GAN2Shape.

Exact and approximate parts:

* *values* are those of a hard rasteriser, each pixel averaged over 2 x 2 with anti-aliasing;
* *depth* has its exact gradient inside faces, in all three coordinates of their corners, without the effect of outlines;
* *textures and lights* have exact gradients; vertices get gradients from lighting, but not from interpolated colours;
* *colour and opacity* have the approximate gradient with respect to image positions of :mod:`.neural_edges`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.lights import PLAIN, Lights, Material
from deep3dmap.renderers.mesh.projection import project
from deep3dmap.renderers.mesh.rasterizer import rasterize
from deep3dmap.renderers.mesh.renderer import MeshImages, MeshRenderer
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from deep3dmap.renderers.mesh.shader import Scene
from deep3dmap.renderers.mesh.textures import Texture
from deep3dmap.structures import Cameras, Meshes

Paint = Callable[[Fragments], tuple[Tensor, Tensor]]


@RENDERERS.register_module()
class NeuralMeshRasterizer(nn.Module):
    """Hard rasteriser, one face a pixel, by the rules of neural re-rendering: a face covers the pixels on its edges as well.

    In a :class:`MeshRenderer` it works with any shader, without gradients of outlines, which
    :class:`NeuralMeshRenderer` adds. The search runs on the CPU for any device.

    Args:
        near: pixels of smaller depth aren't drawn, world units; faces are cut there.
        far: pixels of larger depth aren't drawn, world units.
        fill_back: faces are visible from both sides (the reference adds reversed copies); otherwise faces whose corners run
            clockwise in the image are dropped.
        distortion: of the lens, see :func:`distorted`; None: without.
        reference_rounding: compute as :mod:`.neural_rounding` does; for parity only.

    Raises:
        ValueError: unless ``0 < near < far`` and ``distortion`` has five coefficients.
    """

    def __init__(self,
                 near: float = 0.1,
                 far: float = 100.0,
                 fill_back: bool = True,
                 distortion: Sequence[float] | None = None,
                 reference_rounding: bool = False):
        super().__init__()
        if not 0 < near < far:
            raise ValueError(f"near and far must be 0 < near < far, got {near} and {far}")
        if distortion is not None and len(distortion) != 5:
            raise ValueError(f"distortion has 5 coefficients (k1, k2, p1, p2, k3), got {len(distortion)}")
        self.near, self.far, self.fill_back, self.distortion = near, far, fill_back, distortion
        self.reference_rounding = reference_rounding

    def forward(self, meshes: Meshes, cameras: Cameras) -> Fragments:
        """The fragments of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Raises:
            ValueError: if the numbers of meshes and cameras differ and neither is 1, or vertices are not finite.
        """
        size = (max(len(meshes), len(cameras)), *cameras.size)
        return self.rasterize(self.triangles(meshes, cameras), size, cameras.orthographic)

    def triangles(self, meshes: Meshes, cameras: Cameras) -> Triangles:
        """The triangles that the cameras see."""
        if self.reference_rounding:
            from deep3dmap.renderers.mesh.neural_rounding import reference_triangles  # numba takes a second to import
            triangles = reference_triangles(meshes, cameras)
        else:
            triangles = project(meshes, cameras, self.near)
        return triangles if self.distortion is None else distorted(triangles, cameras, self.distortion)

    def rasterize(self, triangles: Triangles, size: tuple[int, int, int], orthographic: bool = False) -> Fragments:
        """The fragments of projected triangles.

        Args:
            triangles: image coordinates, see :mod:`.triangles`.
            size: number of images, height, width.
            orthographic: depth is linear in the image.
        """
        seen = self.pieces(triangles, size, orthographic)
        return replace(seen, face=triangles.face[seen.face])

    def pieces(self, triangles: Triangles, size: tuple[int, int, int], orthographic: bool = False) -> Fragments:
        """The fragments of projected triangles, with faces that are indices of the triangles; see :meth:`rasterize`."""
        from deep3dmap.renderers.mesh.nearest_face import PixelRule, select_nearest  # numba takes a second to import
        settings = RasterSettings(1, 0.0, not orthographic, cull_backfaces=not self.fill_back)
        rule = PixelRule(near=self.near, far=self.far)
        pieces = replace(triangles, face=torch.arange(len(triangles.face), device=triangles.face.device))
        seen = rasterize(pieces, size, settings, lambda *arguments: select_nearest(*arguments, rule))
        if self.reference_rounding:
            from deep3dmap.renderers.mesh.neural_rounding import reference_values
            seen = reference_values(seen, triangles)
        return seen


@RENDERERS.register_module()
class NeuralMeshRenderer(MeshRenderer):
    """Renders meshes with approximate gradients of outlines; see the module.

    Args:
        rasterizer: config of a :class:`NeuralMeshRasterizer`; its defaults without one.
        shader: config of a :class:`MeshShader` with ``blending="hard"``.
        anti_aliasing: draw at twice the size and average 2 x 2 pixels.
        epsilon: bounds the gradients, see :func:`.neural_edges.with_edge_gradients`.

    Raises:
        ValueError: for another rasteriser or blending, or if ``epsilon`` isn't positive.
    """

    def __init__(self,
                 rasterizer: dict | None = None,
                 shader: dict | None = None,
                 anti_aliasing: bool = True,
                 epsilon: float = 1e-3):
        super().__init__(rasterizer or dict(type="NeuralMeshRasterizer"), shader)
        if not isinstance(self.rasterizer, NeuralMeshRasterizer):
            raise ValueError(f"NeuralMeshRenderer needs a NeuralMeshRasterizer, got a {type(self.rasterizer).__name__}")
        if getattr(self.shader, "blending", "hard") != "hard":
            raise ValueError(f"NeuralMeshRenderer needs a shader with blending='hard', got '{self.shader.blending}'")
        if not epsilon > 0:
            raise ValueError(f"epsilon must be positive, got {epsilon}")
        self.anti_aliasing, self.epsilon = anti_aliasing, epsilon

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
            texture: of the meshes; grey without one.
            lights: None for the unlit colours of the texture.
            material: of the meshes.
        """
        scene = Scene(meshes, cameras, texture, lights, material)
        return self.draw(self.rasterizer.triangles(meshes, cameras), (max(len(meshes), len(cameras)), *cameras.size),
                         lambda fragments: self.shader(fragments, scene), cameras.orthographic)

    def draw(self, triangles: Triangles, size: tuple[int, int, int], paint: Paint, orthographic: bool = False) -> MeshImages:
        """Images of projected triangles.

        Args:
            triangles: image coordinates, see :mod:`.triangles`.
            size: of the images: how many, height, width.
            paint: images of colours (n, h, w, c) and opacities (n, h, w) from fragments.
            orthographic: depth is linear in the image.
        """
        from deep3dmap.renderers.mesh.neural_edges import with_edge_gradients  # numba takes a second to import
        drawn = (size[0], 2 * size[1], 2 * size[2]) if self.anti_aliasing else size
        seen = self.rasterizer.pieces(triangles, drawn, orthographic)
        fragments = replace(seen, face=triangles.face[seen.face])
        color, alpha = paint(replace(fragments, barycentric=fragments.barycentric.detach()))
        images = torch.cat([color, alpha[..., None]], -1)
        images = with_edge_gradients(images, triangles.corners, seen.to_images(seen.face[:, 0], -1), self.epsilon)
        depth = fragments.to_images(torch.stack([fragments.depth[:, 0], torch.ones_like(fragments.depth[:, 0])], -1))
        if self.anti_aliasing:
            images, depth = halved(images), halved(depth)
        return MeshImages(images[..., :-1], images[..., -1], depth[..., 0] / depth[..., 1].clamp(min=0.25), fragments)


def halved(images: Float[Tensor, "n h w c"]) -> Float[Tensor, "n h2 w2 c"]:
    """Averages of 2 x 2 pixels."""
    return avg_pool2d(images.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def far_depth(fragments: Fragments, far: float, anti_aliasing: bool = True) -> Float[Tensor, "n h w"]:
    """Depth images of neural re-rendering: ``far`` in the background, averaged with the foreground at outlines.

    Args:
        fragments: of images of twice the size, with ``anti_aliasing``.
        far: depth of the background, world units.
        anti_aliasing: average 2 x 2 pixels.
    """
    depth = fragments.to_images(fragments.depth[:, :1], far)
    return (halved(depth) if anti_aliasing else depth)[..., 0]


def distorted(triangles: Triangles, cameras: Cameras, coefficients: Sequence[float]) -> Triangles:
    """Triangles with lens distortion applied to their corners; edges stay straight.

    Args:
        triangles: projected by pinhole cameras.
        cameras: of the triangles.
        coefficients: k1, k2, p1, p2, k3 of Brown's model, see :func:`distort`.
    """
    height, width = cameras.size
    to_image = torch.tensor([[2, 0, -width], [0, 2, -height], [0, 0, min(height, width)]]).to(triangles.corners) / min(
        height, width)
    image = triangles.image % len(cameras)
    A = (to_image @ cameras.K.to(triangles.corners))[image][:, None, :2]
    xy = torch.linalg.solve(A[..., :2], (triangles.corners[..., :2] - A[..., 2])[..., None])[..., 0]
    moved = (A[..., :2] @ distort(xy, coefficients)[..., None])[..., 0] + A[..., 2]
    return replace(triangles, corners=torch.cat([moved, triangles.corners[..., 2:]], -1))


def distort(points: Float[Tensor, "*m 2"], coefficients: Sequence[float]) -> Float[Tensor, "*m 2"]:
    """Distorted positions of points in the plane at depth 1 (Brown, "Decentering distortion of lenses", 1966).

    Args:
        points: x and y at depth 1, in the camera's frame.
        coefficients: k1, k2 (radial), p1, p2 (tangential), k3 (radial).
    """
    k1, k2, p1, p2, k3 = coefficients
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    return torch.stack([
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    ], -1)  # yapf: disable
