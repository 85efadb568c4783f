"""Two views: fundamental matrices, triangulation, the depths a silhouette allows (Hartley & Zisserman, chapters 9 and 12)."""

import torch
from jaxtyping import Float
from torch import Tensor

NEAR = 0.7  # pixels from an epipolar line up to which a silhouette pixel counts as on it
LINES = 16  # epipolar lines compared with a whole silhouette at once: bounds the memory


def camera_centers(projections: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 3"]:
    """Centres of cameras, from projection matrices of any scale and sign."""
    return -torch.linalg.solve(projections[..., :3], projections[..., 3])


def fundamental_matrices(source: Float[Tensor, "3 4"], others: Float[Tensor, "n 3 4"]) -> Float[Tensor, "n 3 3"]:
    """Matrices that map a pixel (x, y, 1) of the source view to its epipolar line in each other view.

    ``F = [e]_x P' P^+`` with e the image of the source's centre (Hartley & Zisserman, eq. 9.1); scale and sign are arbitrary.
    """
    center = torch.cat([camera_centers(source), torch.ones(1).to(source)])
    return torch.linalg.cross((others @ center)[..., None], others, dim=-2) @ torch.linalg.pinv(source)


def triangulate(first: Float[Tensor, "*batch 3 4"], second: Float[Tensor, "*batch 3 4"], first_uv: Float[Tensor, "*batch 2"],
                second_uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """World points seen at one pixel in each of two views: the direct linear transform (Hartley & Zisserman, 12.2).

    Points at infinity come out huge or not finite. Best in float64.
    """
    rows = [
        uv[..., axis, None] * P[..., 2, :] - P[..., axis, :] for P, uv in ((first, first_uv), (second, second_uv))
        for axis in (0, 1)
    ]
    point = torch.linalg.svd(torch.stack(rows, -2))[2][..., 3, :]
    return point[..., :3] / point[..., 3:]


def epipolar_depth_ranges(uv: Float[Tensor, "p 2"], source: Float[Tensor, "3 4"], other: Float[Tensor, "3 4"],
                          silhouette: Float[Tensor, "s 2"]) -> Float[Tensor, "p 2"]:
    """Least and largest depth at which points seen at ``uv`` project into another view's silhouette.

    Source: ``preprocess_cameras.py`` of Yariv et al. 2020. Each silhouette pixel near the epipolar line is triangulated with
    the pixel; the range spans their depths in front of the source camera. The units are those of the source's third
    row: world units where it has length 1, else projective depth (what multiplies ``inv(P[:, :3]) @ (u, v, 1)``).

    Args:
        uv: pixels of the source view.
        source, other: projection matrices (float64).
        silhouette: pixel centres inside the other view's mask.

    Returns:
        (least, largest) per pixel; NaN where the line misses the silhouette.
    """
    homogeneous = torch.cat([uv, torch.ones_like(uv[:, :1])], -1)
    lines = homogeneous @ fundamental_matrices(source, other[None])[0].T
    lines = lines / lines[:, :2].norm(dim=-1, keepdim=True)
    near = [((part[:, :2] @ silhouette.T + part[:, 2:]).abs() < NEAR).nonzero() for part in lines.split(LINES)]
    pixel = torch.cat([pairs[:, 0] + k * LINES for k, pairs in enumerate(near)])
    match = torch.cat([pairs[:, 1] for pairs in near])
    points = triangulate(source.expand(len(pixel), 3, 4), other.expand(len(pixel), 3, 4), uv[pixel], silhouette[match])
    depth = points @ source[2, :3] + source[2, 3]
    in_front = depth >= 0
    pixel, depth = pixel[in_front], depth[in_front]
    ranges = torch.full((len(uv), 2), torch.nan).to(uv)
    for column, reduce in enumerate(("amin", "amax")):
        ranges[:, column].scatter_reduce_(0, pixel, depth, reduce, include_self=False)
    return ranges


def epipolar_distances(fundamental: Float[Tensor, "3 3"], first_uv: Float[Tensor, "p 2"],
                       second_uv: Float[Tensor, "p 2"]) -> Float[Tensor, "p"]:
    """How far pixels that should match are from each other's epipolar lines: the larger of both distances, pixels.

    Args:
        fundamental: maps a pixel of the first view to its line in the second (see :func:`fundamental_matrices`).
        first_uv, second_uv: matching pixels.
    """
    first, second = (torch.cat([uv, torch.ones_like(uv[:, :1])], -1) for uv in (first_uv, second_uv))
    lines, lines_back = first @ fundamental.T, second @ fundamental
    shorter = torch.minimum(lines[:, :2].norm(dim=-1), lines_back[:, :2].norm(dim=-1))
    return (second * lines).sum(-1).abs() / shorter
