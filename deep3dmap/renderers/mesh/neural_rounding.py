"""The published neural renderer's order of arithmetic, for comparisons down to the rounding of single precision.

It inverts the matrix of a face's corners in pixels, whose entries are as large as the square of the image's size; barycentric
coordinates then err by about 6e-8 size² / (pixels that the face covers), in single precision. The other implementations
avoid this error.
"""

from dataclasses import replace

import torch

from deep3dmap.renderers.mesh.fragments import Fragments
from deep3dmap.renderers.mesh.nearest_face import to_pixels
from deep3dmap.renderers.mesh.selection import Triangles
from deep3dmap.structures import Cameras, Meshes

Y_UP = (1.0, -1.0, 1.0)


def reference_triangles(meshes: Meshes, cameras: Cameras) -> Triangles:
    """The triangles of mesh i seen by camera i, without near-plane clipping; see :func:`.projection.project`.

    Args:
        meshes: in the world, before the cameras.
        cameras: pinhole cameras, as many as meshes.
    """
    height, width = cameras.size
    extent = torch.tensor([width, height]).to(meshes.vertices)
    corners = []
    for i, vertices in enumerate(meshes.vertices.split(meshes.vertex_counts)):
        pose, K = cameras.world_to_cam[i].to(vertices), cameras.K[i].to(vertices)
        points = vertices @ pose[:, :3].T + pose[:, 3]
        z = points[:, 2:]
        pixels = torch.cat([points[:, :2] / z, torch.ones_like(z)], 1) @ K.T
        up = torch.stack([pixels[:, 0], height - pixels[:, 1]], 1)
        corners.append(torch.cat([2 * (up - extent / 2) / min(height, width), z], 1))
    index = torch.arange(len(meshes.faces), device=meshes.faces.device)
    return Triangles((torch.cat(corners) * extent.new_tensor(Y_UP))[meshes.faces], meshes.face_mesh, index)


def reference_values(fragments: Fragments, triangles: Triangles) -> Fragments:
    """Fragments with the published renderer's weights and depths.

    Args:
        fragments: one face a pixel; their faces are indices of triangles.
        triangles: none of them clipped.
    """
    _, height, width = fragments.size
    corners = triangles.corners.index_select(0, fragments.face[:, 0]) * triangles.corners.new_tensor(Y_UP)
    z, points = corners[..., 2], to_pixels(corners[..., :2], fragments.size)
    (x1, y1), (x2, y2) = (points.roll(-i, 1).unbind(-1) for i in (1, 2))
    x, y = fragments.pixel % width, height - 1 - fragments.pixel // width % height
    (xa, ya), (xb, yb), (xc, yc) = (points[:, i].unbind(-1) for i in range(3))
    determinant = (xc * (ya - yb) + xa * (yb - yc) + xb * (yc - ya))[:, None]
    slopes = torch.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1]) / determinant
    weights = (slopes[0] * x[:, None] + slopes[1] * y[:, None] + slopes[2]).clamp(0, 1)
    weights = weights / weights.sum(-1, keepdim=True)
    depth = 1 / (weights / z).sum(-1, keepdim=True)
    return replace(fragments, barycentric=(weights * (depth / z))[:, None], depth=depth)
