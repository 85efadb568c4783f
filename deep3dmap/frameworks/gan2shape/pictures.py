"""Pictures of other sizes, as GAN2Shape makes them, and depth images as meshes."""

import numpy as np
import trimesh
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from deep3dmap.io.textured_files import textured_mesh
from deep3dmap.renderers import DepthImageRenderer
from deep3dmap.renderers.depth_image import grids


def resized(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c size size"]:
    """Pictures of another size: linearly interpolated if they grow, averaged over areas if they shrink."""
    if size == images.shape[2]:
        return images
    return interpolate(images, (size, size), mode="bilinear" if size > images.shape[2] else "area")


def cropped(images: Float[Tensor, "n c h w"], size: int) -> Float[Tensor, "n c size size"]:
    """The middle of pictures."""
    start = (images.shape[2] - size) // 2
    return images[:, :, start:start + size, start:start + size]


def to_picture(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "h w 3"]:
    """A picture in [-1, 1] as one in [0, 1]."""
    return (image.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1)


def depth_mesh(renderer: DepthImageRenderer, depth: Float[Tensor, "h w"], albedo: Float[Tensor, "3 h w"]) -> trimesh.Trimesh:
    """A depth image as a mesh with a coloured vertex for each pixel.

    x to the right, y up, z towards the camera; units of depth, from the point on its axis that views turn about.

    Args:
        renderer: whose camera sees it.
        depth: of the pixels.
        albedo: colours in [-1, 1].
    """
    points = grids.lifted(depth[None], renderer.K.cpu())[0].flatten(0, 1).numpy()
    points = (points - [0, 0, renderer.center]) * [1, -1, -1]
    return trimesh.Trimesh(points, grids.grid_faces(*depth.shape).numpy(), vertex_colors=_bytes(albedo).reshape(-1, 3),
                           process=False)  # yapf: disable


def textured_depth_mesh(renderer: DepthImageRenderer, depth: Float[Tensor, "h w"],
                        albedo: Float[Tensor, "3 h w"]) -> trimesh.Trimesh:  # yapf: disable
    """The mesh of :func:`depth_mesh` with the colours as a texture; every vertex is at the centre of its texel."""
    height, width = depth.shape
    pixels = grids.pixel_grid(height, width).flatten(0, 1).numpy()
    uv = (pixels + 0.5) / [width, height] * [1, -1] + [0, 1]
    return textured_mesh(depth_mesh(renderer, depth, albedo), uv, _bytes(albedo))


def _bytes(image: Float[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return (to_picture(image) * 255).round().numpy().astype(np.uint8)
