"""Textures of unwrapped meshes, painted texel by texel: from posed photographs, or by a function of the surface's points.

Views are weighted as for vertices (:mod:`deep3dmap.geometry.painting`), and by the distance to the object's outline,
near which small errors of shape or camera would sample the background or another part. Visibility is tested with the mesh's
depth map.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from deep3dmap.geometry.painting import OFFSET, nearest_colors, paint_vertices, sample_image
from deep3dmap.renderers.mesh.drawing import as_meshes, surface_normals
from deep3dmap.renderers.mesh.rasterizer import FastRasterizer
from deep3dmap.structures import Cameras, Capture, Meshes, OrthographicCameras

FEATHER = 8  # pixels from the outline at which a view has its full weight
CHUNK = 1 << 16  # texels painted together, over all views

Color = Callable[[Tensor], Tensor]  # of (p, 3) points of the surface: (p, 3) in [0, 1]


@dataclass(frozen=True)
class Texels:
    """The ``p`` texels whose centres are in a face.

    Attributes:
        pixel: index into the flattened texture, row by row.
        points: on the surface.
        normals: unit, interpolated.
        size: texels along an edge of the texture.
    """

    pixel: Int[Tensor, "p"]
    points: Float[Tensor, "p 3"]
    normals: Float[Tensor, "p 3"]
    size: int


def surface_texels(mesh: trimesh.Trimesh, size: int) -> Texels:
    """The surface point of each texel, by rasterising the texture coordinates.

    Args:
        mesh: unwrapped, see :func:`deep3dmap.geometry.unwrap.unwrap`.
        size: texels along an edge of the texture.
    """
    uv = torch.tensor(np.asarray(mesh.visual.uv, dtype=np.float64))
    flat = torch.stack([uv[:, 0], 1 - uv[:, 1], torch.full_like(uv[:, 0], 1 / size)], -1) * size
    eye = torch.eye(3, 4, dtype=torch.float64)[None]
    surface = as_meshes(mesh)
    fragments = FastRasterizer()(surface.with_vertices(flat), OrthographicCameras(eye[:, :, :3], eye, (size, size)))
    hit = fragments.hit[:, 0]
    points = fragments.interpolate(surface.vertices[surface.faces])[:, 0]
    return Texels(fragments.pixel[hit], points[hit], surface_normals(mesh, fragments)[hit], size)


def paint_texture(mesh: trimesh.Trimesh, views: Capture, size: int, blend: str = "mean",
                  power: float = 2.0) -> tuple[trimesh.Trimesh, float]:  # yapf: disable
    """A texture from photographs.

    Args:
        mesh: unwrapped, in the cameras' world.
        views: photographs; without masks the mesh's silhouette is used.
        size: texels along an edge of the texture.
        blend: of several views, see :data:`deep3dmap.geometry.painting.BLENDS`.
        power: exponent of the cosine between normal and viewing direction in a view's weight.

    Returns:
        The mesh with its texture; and the fraction of texels visible in a view. Others have the colour of the nearest visible
        point.

    Raises:
        ValueError: for an unknown blend.
    """
    texels, cameras = surface_texels(mesh, size), views.cameras.to("cpu", torch.float64)
    depths = depth_maps(as_meshes(mesh), cameras)
    masks = depths > 0 if views.masks is None else views.masks.cpu()
    maps, tolerance = torch.stack([depths, feathered(masks)], -1), OFFSET * mesh.scale
    colors, known = torch.zeros(len(texels.pixel), 3), torch.zeros(len(texels.pixel), dtype=torch.bool)
    for start in range(0, len(texels.pixel), CHUNK):
        part = slice(start, start + CHUNK)
        points = texels.points[part]
        weights = view_weights(points, cameras, maps, tolerance)
        colors[part], known[part] = paint_vertices(points, texels.normals[part], weights, views.images.cpu(), masks,
                                                   cameras.projections, cameras.centers, blend, power)  # yapf: disable
    colors[~known] = nearest_colors(texels.points[~known], texels.points[known], colors[known])
    return with_texture(mesh, texels, colors), float(known.double().mean()) if len(known) else 0.0


def color_texture(mesh: trimesh.Trimesh, color: Color, size: int) -> trimesh.Trimesh:
    """A texture by a function of the surface's points, such as a radiance network's; arguments as of :func:`paint_texture`."""
    texels = surface_texels(mesh, size)
    return with_texture(mesh, texels, torch.cat([color(points).cpu().float() for points in texels.points.split(CHUNK)]))


def depth_maps(meshes: Meshes, cameras: Cameras) -> Float[Tensor, "n h w"]:
    """Depth of one mesh in every view, world units, float32; 0 for the background."""
    rasterizer, maps = FastRasterizer(), []
    for view in range(len(cameras)):
        fragments = rasterizer(meshes, cameras[view])
        maps.append(fragments.to_images(torch.where(fragments.hit[:, 0], fragments.depth[:, 0], 0))[0].float())
    return torch.stack(maps)


def feathered(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, "n h w"]:
    """From 0 in a mask's outermost pixels to 1 at a distance of :data:`FEATHER` pixels; an image's border is an outline."""
    padded = np.pad(masks.numpy(), ((0, 0), (1, 1), (1, 1)))
    distance = np.stack([distance_transform_edt(mask)[1:-1, 1:-1] for mask in padded])
    return torch.from_numpy((distance - 1).clip(0, FEATHER) / FEATHER).float()


def view_weights(points: Float[Tensor, "p 3"], cameras: Cameras, maps: Float[Tensor, "n h w 2"],
                 tolerance: float) -> Float[Tensor, "n p"]:  # yapf: disable
    """Weights of each view at points of the surface: 0 where occluded, or at the outline.

    Args:
        points: in the cameras' world.
        cameras: of the views.
        maps: depths (:func:`depth_maps`), and the weights of pixels (:func:`feathered`). At depth discontinuities
            interpolation yields values in front of the farther surface, which is then treated as occluded.
        tolerance: depth by which a point may be behind the surface, world units.
    """
    weights = []
    for view in range(len(cameras)):
        uv, depth = (x[0] for x in cameras[view].project(points))
        nearest, inside = sample_image(maps[view], uv).T
        weights.append(inside * (nearest > depth - tolerance))
    return torch.stack(weights)


def with_texture(mesh: trimesh.Trimesh, texels: Texels, colors: Float[Tensor, "p 3"]) -> trimesh.Trimesh:
    """An unwrapped mesh with the texture of its texels' colours; texels outside the charts copy the nearest one."""
    size = texels.size
    image, empty = np.full((size * size, 3), 0.5), np.ones(size * size, dtype=bool)
    image[texels.pixel.numpy()], empty[texels.pixel.numpy()] = colors.numpy(), False
    image, empty = image.reshape(size, size, 3), empty.reshape(size, size)
    if not empty.all():
        row, column = distance_transform_edt(empty, return_distances=False, return_indices=True)
        image = image[row, column]
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray((255 * image).round().astype(np.uint8)),
                                                   metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True)  # yapf: disable
    painted = mesh.copy()
    painted.visual = trimesh.visual.TextureVisuals(uv=mesh.visual.uv, material=material)
    return painted
