"""Projection of meshes: triangles in image coordinates, clipped at the near plane."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor

from deep3dmap.geometry.projection import by_depth
from deep3dmap.renderers.mesh.near_plane import cut_triangles
from deep3dmap.renderers.mesh.selection import Triangles
from deep3dmap.structures import Cameras, Meshes


def project(meshes: Meshes, cameras: Cameras, near: float) -> Triangles:
    """The triangles of mesh i seen by camera i; one mesh is seen by every camera, one camera sees every mesh.

    Args:
        meshes: in the world.
        cameras: their images are all of one size.
        near: faces are clipped at this depth, world units.

    Raises:
        ValueError: see :func:`check_batch`.
    """
    check_batch(meshes, cameras)
    views, faces = max(len(meshes), len(cameras)), torch.arange(len(meshes.faces), device=meshes.faces.device)
    if len(meshes) == 1:
        image, face = torch.arange(views, device=faces.device).repeat_interleave(len(faces)), faces.repeat(views)
        corners = _in_front(meshes.vertices, cameras)[:, meshes.faces].flatten(0, 1)
    else:
        image, face = meshes.face_mesh, faces
        corners = torch.cat([
            _in_front(vertices, cameras[i % len(cameras)])[0]
            for i, vertices in enumerate(meshes.vertices.split(meshes.vertex_counts))
        ])[meshes.faces]
    return divided(cut(Triangles(corners, image, face), near), cameras.orthographic)


def check_batch(meshes: Meshes, cameras: Cameras) -> None:
    """Check meshes and cameras before rendering.

    Raises:
        ValueError: if the numbers of meshes and cameras differ and neither is 1, there are no cameras, images have no pixels,
            vertices or cameras are not finite, or faces have an index out of range.
    """
    size = cameras.size
    if not (isinstance(size, Sequence) and len(size) == 2 and all(isinstance(n, Integral) and n >= 1 for n in size)):
        raise ValueError(f"cameras have the image size {size}: expected height and width, integers of at least 1")
    if not len(cameras):
        raise ValueError("there are no cameras: expected at least one")
    if not (torch.isfinite(cameras.K).all() and torch.isfinite(cameras.world_to_cam).all()):
        raise ValueError("K or world_to_cam of the cameras is not finite")
    if len(meshes) != len(cameras) and 1 not in (len(meshes), len(cameras)):
        raise ValueError(f"{len(meshes)} meshes but {len(cameras)} cameras: expected equal numbers, or one of either")
    finite = torch.isfinite(meshes.vertices.detach()).all(-1)
    if not finite.all():
        bad = int(torch.nonzero(~finite)[0])
        raise ValueError(f"vertex {bad} of the meshes is not finite: {meshes.vertices[bad].tolist()}")
    faces, count = meshes.faces, len(meshes.vertices)
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < count:
        raise ValueError(f"faces have vertex indices from {int(faces.min())} to {int(faces.max())}, but the meshes have "
                         f"{count} vertices")


def image_points(meshes: Meshes, cameras: Cameras) -> list[Float[Tensor, "_ 3"]]:
    """Image coordinates and depth of the vertices in each image; infinite, without gradients, at depth 0."""
    views = max(len(meshes), len(cameras))
    parts = meshes.vertices.split(meshes.vertex_counts)
    points = [_in_front(parts[i % len(parts)], cameras[i % len(cameras)])[0] for i in range(views)]
    return points if cameras.orthographic else [torch.cat([by_depth(p), p[:, 2:]], 1) for p in points]


def _in_front(vertices: Float[Tensor, "v 3"], cameras: Cameras) -> Float[Tensor, "n v 3"]:
    """Image coordinates before perspective division, and depth, of points in each camera."""
    height, width = cameras.size
    to_image = torch.tensor([[2, 0, -width], [0, 2, -height], [0, 0, min(height, width)]]).to(vertices) / min(height, width)
    K = to_image @ cameras.K.to(vertices)
    pose = cameras.world_to_cam.to(vertices)
    points = vertices @ pose[:, :, :3].transpose(1, 2) + pose[:, None, :, 3]
    if not cameras.orthographic:
        return points @ K.transpose(1, 2)
    xy = points[..., :2] @ K[:, :2, :2].transpose(1, 2) + K[:, None, :2, 2]
    return torch.cat([xy, points[..., 2:]], -1)


def cut(triangles: Triangles, near: float) -> Triangles:
    """The parts of triangles beyond the near plane; corners are those before perspective division."""
    parts = cut_triangles(triangles.corners, near)
    if parts is None:
        return triangles
    index, weights = parts
    corners = weights @ triangles.corners[index]
    return Triangles(corners, triangles.image[index], triangles.face[index], weights)


def divided(triangles: Triangles, orthographic: bool) -> Triangles:
    """Triangles after perspective division."""
    if orthographic:
        return triangles
    z = triangles.corners[..., 2:]
    return replace(triangles, corners=torch.cat([triangles.corners[..., :2] / z, z], -1))
