"""Colours for the vertices of a mesh, taken from posed photographs.

A vertex is visible in a view if the mesh doesn't occlude it. Its colour is the mean, or the median, of
what the views that see it show there. Views weigh by the cosine between normal and viewing direction, because a pixel seen at
a grazing angle covers much surface and misses most if the surface is off.
"""

from collections.abc import Callable

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from deep3dmap.geometry.ray_casting import cast_rays

#: How far from a vertex, over the mesh's diagonal, its own neighbourhood no longer hides it.
OFFSET = 1e-3
CHUNK = 1 << 16  # vertices painted together, over all views


def facing(vertices: Float[Tensor, "v 3"], normals: Float[Tensor, "v 3"],
           centers: Float[Tensor, "n 3"]) -> Float[Tensor, "n v"]:  # yapf: disable
    """Cosines between unit normals and the directions to the camera centres; negative where a vertex faces away."""
    return torch.stack([(normalize(center - vertices, dim=-1) * normals).sum(-1) for center in centers])


def visible_vertices(mesh: trimesh.Trimesh, centers: Float[Tensor, "n 3"]) -> Bool[Tensor, "n v"]:
    """Which vertices face each camera centre and are not occluded by the mesh. On the CPU.

    Args:
        mesh: with outward normals.
        centers: of the cameras, in the mesh's frame.
    """
    centers = centers.detach().cpu().double()
    vertices, normals = (torch.tensor(np.asarray(x), dtype=torch.float64) for x in (mesh.vertices, mesh.vertex_normals))
    visible = facing(vertices, normals, centers) > 0
    starts = vertices + OFFSET * mesh.scale * normals
    for center, turned in zip(centers, visible):
        to_camera = center - starts[turned]
        hits = cast_rays(mesh, starts[turned], to_camera)
        turned[turned.clone()] = ~hits.hit | (hits.distance > 1)  # distances are in lengths of `to_camera`
    return visible


def sample_image(image: Float[Tensor, "h w c"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p c"]:
    """Bilinear values at pixel coordinates (first pixel's centre at 0.5); clamped at the border."""
    size = torch.tensor([image.shape[1], image.shape[0]]).to(uv)
    grid = (2 * uv / size - 1).nan_to_num(2.0).to(image)
    values = grid_sample(image.permute(2, 0, 1)[None], grid[None, None], padding_mode="border", align_corners=False)
    return values[0, :, 0].T


def weighted_mean(values: Float[Tensor, "n p c"], weights: Float[Tensor, "n p"]) -> Float[Tensor, "p c"]:
    """Mean over the first axis; 0 where all weights are 0."""
    total = weights.sum(0)[:, None]
    return (values * weights[..., None]).sum(0) / torch.where(total > 0, total, 1.0)


def weighted_median(values: Float[Tensor, "n p c"], weights: Float[Tensor, "n p"]) -> Float[Tensor, "p c"]:
    """Median over the first axis, per channel: the smallest value at which half of the weight is reached.

    Where all weights are 0 it is the smallest value.
    """
    values, order = values.sort(0)
    reached = weights[..., None].expand(values.shape).gather(0, order).cumsum(0)
    return values.gather(0, (reached < 0.5 * reached[-1:]).sum(0, keepdim=True).clamp(max=len(values) - 1))[0]


#: Ways to combine the colours of several views into one.
BLENDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": weighted_mean, "median": weighted_median}


def paint_vertices(vertices: Float[Tensor, "v 3"],
                   normals: Float[Tensor, "v 3"],
                   visible: Bool[Tensor, "n v"] | Float[Tensor, "n v"],
                   images: UInt8[Tensor, "n h w 3"] | Float[Tensor, "n h w 3"],
                   masks: Bool[Tensor, "n h w"] | None,
                   projections: Float[Tensor, "n 3 4"],
                   centers: Float[Tensor, "n 3"],
                   blend: str = "mean",
                   power: float = 2.0) -> tuple[Float[Tensor, "v 3"], Bool[Tensor, "v"]]:
    """Colours of vertices from the photographs that see them.

    Args:
        vertices: in the cameras' frame.
        normals: outward, unit.
        visible: which view sees which vertex (see :func:`visible_vertices`), or factors of the views' weights.
        images: photographs, uint8 or in [0, 1].
        masks: True on the object; pixels that touch the background are not used. None uses all pixels.
        projections: world to pixels (first pixel's centre at 0.5), depths positive in front.
        centers: of the cameras.
        blend: one of :data:`BLENDS`; the median ignores what few views show (a highlight, an occluder), the mean
            is closer to all of them.
        power: views weigh as this power of the cosine between normal and viewing direction.

    Returns:
        Colours in [0, 1], 0 for vertices that no view colours; and which vertices are coloured. All on the images' device.

    Raises:
        ValueError: for an unknown blend.
    """
    if blend not in BLENDS:
        raise ValueError(f"unknown blend '{blend}': expected one of {', '.join(BLENDS)}")
    vertices, normals, projections, centers = (x.to(images.device).double() for x in (vertices, normals, projections, centers))
    weights = facing(vertices, normals, centers).clamp(min=0)**power * visible.to(images.device)
    colors = torch.zeros(len(vertices), 3, device=images.device)
    for start in range(0, len(vertices), CHUNK):
        part = slice(start, start + CHUNK)
        values, weights[:, part] = _samples(vertices[part], weights[:, part], images, masks, projections)
        colors[part] = BLENDS[blend](values, weights[:, part].float())
    painted = weights.sum(0) > 0
    return colors * painted[:, None], painted


def _samples(vertices: Float[Tensor, "p 3"], weights: Float[Tensor, "n p"], images, masks,
             projections) -> tuple[Float[Tensor, "n p 3"], Float[Tensor, "n p"]]:
    """Each view's colours at the vertices, and the weights, 0 for views that don't show them."""
    weights = weights.clone()
    values = torch.zeros(*weights.shape, 3, device=images.device)
    size = torch.tensor([images.shape[2], images.shape[1]], device=images.device)
    for k, projection in enumerate(projections):
        x = vertices @ projection[:, :3].T + projection[:, 3]
        uv = x[:, :2] / x[:, 2:]
        weights[k] *= ((uv >= 0) & (uv <= size)).all(-1) & (x[:, 2] > 0)
        seen = weights[k] > 0
        image = images[k].float() / 255 if images.dtype == torch.uint8 else images[k].float()
        values[k, seen] = sample_image(image, uv[seen])
        if masks is not None:
            weights[k, seen] *= sample_image(masks[k, ..., None].float(), uv[seen])[:, 0] > 0.999
    return values, weights


def nearest_colors(points: Float[Tensor, "p 3"], known: Float[Tensor, "k 3"],
                   colors: Float[Tensor, "k c"]) -> Float[Tensor, "p c"]:  # yapf: disable
    """For every point, the colour of the nearest known point; grey where none is known. On the CPU."""
    points, known, colors = (x.detach().cpu() for x in (points, known, colors))
    if not len(known):
        return torch.full((len(points), colors.shape[1]), 0.5).to(colors)
    return colors[torch.from_numpy(cKDTree(known.numpy()).query(points.numpy())[1])]
