"""Surfaces that a fit starts from, and surfaces meshed anew."""

from typing import NamedTuple

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.closed_meshes import Mesh, surface_distances, winding_numbers
from deep3dmap.geometry.meshing import NoSurfaceError, extract_surface
from deep3dmap.geometry.painting import nearest_colors, paint_vertices, visible_vertices
from deep3dmap.geometry.triangles import largest_component
from deep3dmap.geometry.visual_hull import hull_mesh
from deep3dmap.structures import Capture

GREY = 0.5


class MeshState(NamedTuple):
    """A mesh with vertex colours in [0, 1], on the CPU."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    colors: Float[Tensor, "v 3"]


def hull_start(views: Capture, resolution: int) -> MeshState:
    """The visual hull's largest part, coloured from the photographs, in the scene's frame.

    Raises:
        NoSurfaceError: if the silhouettes have no common point.
    """
    cameras, box = views.scene_cameras, torch.ones(3)
    try:
        vertices, faces = hull_mesh(views.masks, cameras.projections, -box, box, resolution, 0)
    except ValueError as error:
        raise NoSurfaceError(str(error)) from None
    vertices, faces = largest_component(vertices, faces)
    mesh = trimesh.Trimesh(vertices.double().numpy(), faces.numpy(), process=False)
    points, normals = torch.tensor(np.asarray(mesh.vertices)), torch.tensor(np.asarray(mesh.vertex_normals))
    colors, painted = paint_vertices(points, normals, visible_vertices(mesh, cameras.centers), views.images, views.masks,
                                     cameras.projections, cameras.centers)  # yapf: disable
    if bool(painted.any()):
        colors = nearest_colors(points, points[painted], colors[painted])
    return MeshState(vertices.float(), faces.long(), colors.float())


def sphere_start(radius: float, resolution: int) -> MeshState:
    """A grey sphere around the origin with edges of about a grid cell's length."""
    ball = trimesh.creation.icosphere(subdivisions=max(1, round(np.log2(resolution * radius / 1.9))), radius=radius)
    vertices = torch.tensor(np.asarray(ball.vertices), dtype=torch.float32)
    return MeshState(vertices, torch.tensor(np.asarray(ball.faces)), torch.full_like(vertices, GREY))


def remeshed(state: MeshState, resolution: int) -> MeshState:
    """The surface of a mesh on a grid of another resolution, by marching cubes on its signed distance; colours from the
    nearest vertices. Parts that the mesh turned inside out or folded over disappear.

    Raises:
        NoSurfaceError: if nothing lies inside the mesh.
    """
    mesh = Mesh(state.vertices.double().numpy(), state.faces.numpy())

    def sdf(points: Tensor) -> Tensor:
        array = points.double().numpy()
        distance = surface_distances(mesh, array)
        return torch.from_numpy(np.where(winding_numbers(mesh, array) > 0.5, -distance, distance)).to(points)

    vertices, faces = extract_surface(sdf, -1.0, 1.0, resolution)
    vertices, faces = largest_component(vertices, faces)
    return MeshState(vertices.float(), faces.long(),
                     nearest_colors(vertices.double(), state.vertices.double(), state.colors.double()).float())
