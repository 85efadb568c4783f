"""Initial surfaces of a fit, and remeshing."""

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
    """The largest component of the visual hull, in the scene's frame, with colours from the photographs.

    Raises:
        NoSurfaceError: if the visual hull is empty.
    """
    box = torch.ones(3)
    try:
        surface = hull_mesh(views.masks, views.scene_cameras.projections, -box, box, resolution, 0)
    except ValueError as error:
        raise NoSurfaceError(str(error)) from None
    return painted(*largest_component(*surface), views)


def painted(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], views: Capture) -> MeshState:
    """A mesh in the scene's frame with colours from the photographs; grey if it is visible in none."""
    mesh, cameras = trimesh.Trimesh(vertices.double().numpy(), faces.numpy(), process=False), views.scene_cameras
    points, normals = torch.tensor(np.asarray(mesh.vertices)), torch.tensor(np.asarray(mesh.vertex_normals))
    colors, seen = paint_vertices(points, normals, visible_vertices(mesh, cameras.centers), views.images, views.masks,
                                  cameras.projections, cameras.centers)  # yapf: disable
    colors = nearest_colors(points, points[seen], colors[seen]) if bool(seen.any()) else torch.full_like(points, GREY)
    return MeshState(vertices.float(), faces.long(), colors.float())


def sphere_start(views: Capture, radius: float, resolution: int) -> MeshState:
    """A sphere around the scene's origin with edges of about a grid cell's length, coloured from the photographs."""
    ball = trimesh.creation.icosphere(subdivisions=max(1, round(np.log2(resolution * radius / 1.9))), radius=radius)
    return painted(torch.tensor(np.asarray(ball.vertices)), torch.tensor(np.asarray(ball.faces)), views)


def remeshed(state: MeshState, views: Capture, resolution: int) -> MeshState:
    """The surface remeshed by marching cubes on its signed distance at another resolution, coloured from the photographs.

    Inverted or folded parts are removed.

    Raises:
        NoSurfaceError: if the mesh encloses no grid point.
    """
    mesh = Mesh(state.vertices.double().numpy(), state.faces.numpy())

    def sdf(points: Tensor) -> Tensor:
        array = points.double().numpy()
        distance = surface_distances(mesh, array)
        return torch.from_numpy(np.where(winding_numbers(mesh, array) > 0.5, -distance, distance)).to(points)

    return painted(*largest_component(*extract_surface(sdf, -1.0, 1.0, resolution)), views)
