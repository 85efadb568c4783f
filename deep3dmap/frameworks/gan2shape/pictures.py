"""Pictures of other sizes, as GAN2Shape makes them, and depth images as meshes."""

import numpy as np
import trimesh
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

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
    """A depth image as a mesh with a coloured vertex for each pixel, its front towards the camera.

    Args:
        renderer: whose camera sees it.
        depth: of the pixels.
        albedo: colours in [-1, 1].
    """
    points = grids.lifted(depth[None], renderer.K.cpu())[0].flatten(0, 1).numpy()
    faces = grids.grid_faces(*depth.shape).numpy()
    colors = (to_picture(albedo).flatten(0, 1) * 255).round().numpy().astype(np.uint8)
    return trimesh.Trimesh(points, faces, vertex_colors=colors, process=False)
