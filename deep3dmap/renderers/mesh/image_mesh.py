"""Meshes in image coordinates, as used in face fitting: x and y in pixels, z towards the viewer.

The rules are those of face3d and PRNet (Feng et al., "Joint 3D Face Reconstruction and Dense Alignment with Position Map
Regression Network", ECCV 2018): rays are parallel, pixel centres are at integers, larger z is nearer, and pixels on
a face's edges belong to the face except on the edge opposite its first corner. Reference position maps follow these rules.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from deep3dmap.registry import RENDERERS
from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.projection import project
from deep3dmap.renderers.mesh.rasterizer import rasterize
from deep3dmap.renderers.mesh.selection import RasterSettings, Triangles
from deep3dmap.renderers.mesh.textures import UVTexture
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras

EVERYWHERE = 1 << 30  # pixels from the border
RULES = {
    "face3d": dict(half_open=True),
    "face3d_cpp": dict(half_open=True, border=2, single=True),
    "boxes": dict(half_open=True, border=EVERYWHERE)
}


@RENDERERS.register_module()
class FaceRasterizer(nn.Module):
    """Hard orthographic rasteriser, one face a pixel, by the rules of face3d. The search runs on the CPU.

    Args:
        rule: ``face3d``; ``face3d_cpp``, its C++ implementation: within 2 pixels of the image's border faces fill
            their bounding box, which smears position maps there, and arithmetic is in single precision;
            ``boxes``: faces fill their bounding box everywhere.

    Raises:
        ValueError: if the rule is unknown.
    """

    def __init__(self, rule: str = "face3d"):
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule='{rule}': expected one of {', '.join(RULES)}")
        self.rule = rule

    def forward(self, meshes: Meshes, cameras: Cameras) -> Fragments:
        """The fragments of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

        Depth increases away from the camera. The camera of a mesh in image coordinates is :func:`image_camera`.

        Raises:
            ValueError: if cameras have a perspective, if the numbers of meshes and cameras differ and neither is 1, or
                vertices are not finite.
        """
        if not cameras.orthographic:
            raise ValueError("FaceRasterizer draws what orthographic cameras see; use FastRasterizer for others")
        triangles = project(meshes, cameras, float("-inf"))
        return self.rasterize(triangles, (max(len(meshes), len(cameras)), *cameras.size))

    def rasterize(self,
                  triangles: Triangles,
                  size: tuple[int, int, int],
                  pixels: Float[Tensor, "t 3 2"] | None = None) -> Fragments:
        """The fragments of projected triangles.

        Args:
            triangles: image coordinates, see :mod:`.triangles`.
            size: number of images, height, width.
            pixels: the corners' pixels, where they are known exactly.
        """
        from deep3dmap.renderers.mesh.nearest_face import PixelRule, select_nearest  # numba takes a second to import
        rule = PixelRule(near=float("-inf"), **RULES[self.rule])
        settings = RasterSettings(1, 0.0, perspective_correct=False)
        return rasterize(triangles, size, settings, lambda *arguments: select_nearest(*arguments, rule, pixels))

    def draw(self, vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], size: tuple[int, int]) -> Fragments:
        """The fragments of one mesh in image coordinates; their depth is -z.

        Args:
            vertices: x and y in pixels, z towards the viewer.
            faces: indices of vertices.
            size: the image's height and width.
        """
        height, width = size
        extent = torch.tensor([width, height]).to(vertices)
        xy = (2 * vertices[:, :2] + 1 - extent) / min(size)
        corners = torch.cat([xy, -vertices[:, 2:]], 1)[faces.long()]
        index = torch.arange(len(faces), device=faces.device)
        return self.rasterize(Triangles(corners, torch.zeros_like(index), index), (1, *size), vertices[faces.long(), :2])


def image_camera(size: tuple[int, int]) -> OrthographicCameras:
    """The camera for a mesh in image coordinates of this height and width; a reflection, as z points towards the viewer."""
    K = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]]])
    mirror = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0]]])
    return OrthographicCameras(K, mirror, size)


def pixel_texture(image: Float[Tensor, "h w c"],
                  coordinates: Float[Tensor, "t 2"],
                  faces: Int[Tensor, "f 3"],
                  mode: str = "nearest") -> UVTexture:
    """A texture whose coordinates are pixels of its image, x right and y down, whole numbers at their centres.

    Args:
        image: of the texture.
        coordinates: clamped to the image.
        faces: indices of coordinates.
        mode: ``nearest`` or ``bilinear``.
    """
    limit = torch.tensor([image.shape[1] - 1, image.shape[0] - 1]).to(coordinates)
    u, v = (coordinates / limit).unbind(-1)
    return UVTexture(image[None], torch.stack([u, 1 - v], -1), faces, mode)


def flattened(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> tuple[Float[Tensor, "c 3"], Int[Tensor, "f 3"]]:
    """Separate faces of constant z, the mean of their corners', as in PRNet's depth images."""
    corners = vertices[faces.long()]
    z = corners[..., 2:].mean(1, keepdim=True).expand(-1, 3, -1)
    flat = torch.cat([corners[..., :2], z], -1).flatten(0, 1)
    return flat, torch.arange(len(flat), device=faces.device).view(-1, 3)


def visible_vertices(vertices: Float[Tensor, "v 3"],
                     faces: Int[Tensor, "f 3"],
                     size: tuple[int, int],
                     tolerance: float = 2.0,
                     dilations: int = 2) -> Bool[Tensor, "v"]:
    """Visibility of the vertices of a mesh in image coordinates, by PRNet's rules.

    A vertex is visible if its z is close to the one at its pixel, where each face fills its bounding box with its mean z, and
    no earlier visible vertex of the same pixel is nearer. Then visibility is dilated over faces.

    Args:
        vertices: x and y in pixels, z towards the viewer.
        faces: indices of vertices.
        size: the image's height and width; vertices outside are not visible.
        tolerance: by which z may differ, pixels.
        dilations: how often visibility spreads over faces.
    """
    fragments = FaceRasterizer("boxes").draw(*flattened(vertices, faces), size)
    image = fragments.to_images(-fragments.depth[:, 0], float("-inf"))[0]
    limit = torch.tensor([size[1] - 1, size[0] - 1]).to(vertices)
    inside = ((vertices[:, :2] >= 0) & (vertices[:, :2] <= limit)).all(-1)
    column, row = torch.where(inside[:, None], vertices[:, :2], 0).round().long().unbind(-1)
    near = inside & ((vertices[:, 2] - image[row, column]).abs() < tolerance)
    visible = _without_hidden(near, row * size[1] + column, vertices[:, 2])
    for _ in range(dilations):
        visible = visible.index_fill(0, faces[visible[faces.long()].any(-1)].long().flatten(), True)
    return visible


def _without_hidden(near: Bool[Tensor, "v"], pixel: Int[Tensor, "v"], z: Float[Tensor, "v"]) -> Bool[Tensor, "v"]:
    """The vertices that are not farther than all earlier ones in their pixel."""
    nearest: dict[int, float] = {}
    index = torch.nonzero(near)[:, 0]
    kept = near.clone()
    for i, at, depth in zip(index.tolist(), pixel[index].tolist(), z[index].tolist()):
        kept[i] = depth >= nearest.get(at, depth)
        nearest[at] = max(depth, nearest.get(at, depth))
    return kept
