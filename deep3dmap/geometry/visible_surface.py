"""The part of a surface that is visible from outside, and from which side (Park et al., CVPR 2019, supplementary section on
data).

A mesh that encloses no volume has no inside of its own. DeepSDF views it from 100 orthographic cameras on a sphere: what
they see is its outer surface, and its normals point towards the camera. A triangle that is seen from both sides shows that
the surface has no reliable sides. Rays replace OpenGL here.
"""

from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int

from deep3dmap.geometry.closed_meshes import Mesh
from deep3dmap.geometry.point_normals import unit_vectors

VIEWS = 100
DISTANCE = 1.1
CONTRADICTED = 2  # mark of a triangle seen from both sides
GRAZING = 1e-3  # cosine below which the reference sees nothing


class VisibleSurface(NamedTuple):
    """Points of a surface that are seen from outside.

    Attributes:
        points: (p, 3) where rays meet the mesh first.
        normals: (p, 3) unit, towards the camera.
        seen: (f,) which triangles were seen.
        wrong_observations: share of observations that contradict what was seen of the same triangle before.
        wrong_triangles: share of the triangles that are seen from both sides.
        spacing: of the rays of a camera.
    """

    points: Float[np.ndarray, "p 3"]
    normals: Float[np.ndarray, "p 3"]
    seen: Bool[np.ndarray, "f"]
    wrong_observations: float
    wrong_triangles: float
    spacing: float


def sphere_points(count: int) -> Float[np.ndarray, "count 3"]:
    """Points spread evenly over the unit sphere along a spiral of golden angles, as the reference's cameras are."""
    y = (2 * np.arange(count) + 1) / count - 1
    radius, angle = np.sqrt(1 - y**2), (np.arange(count) + 1) * np.pi * (3 - np.sqrt(5))
    return np.stack([radius * np.cos(angle), y, radius * np.sin(angle)], -1)


def visible_surface(mesh: Mesh, resolution: int = 200, views: int = VIEWS) -> VisibleSurface:
    """The visible surface of a mesh in the unit sphere, from cameras all around it.

    Args:
        mesh: within the unit sphere.
        resolution: rays along the edge of a camera's square of side 2 (the reference: 400).
        views: cameras.

    Returns:
        The visible points. As in the reference, cameras are processed in order: a triangle's first view defines its outer
        side, a view of the other side makes it a wrong triangle, and from then on all observations of it count as wrong.
    """
    tracer = trimesh.Trimesh(*mesh, process=False).ray
    corners = mesh.vertices[mesh.faces]
    normals = unit_vectors(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    side, wrong = np.zeros(len(normals), np.int8), 0
    found = []
    for camera in sphere_points(views):
        point, face, cosine = _look(tracer, camera, resolution, corners[:, 0], normals)
        facing = np.where(cosine < 0, 1, -1).astype(np.int8)
        contradicts = (side[face] == CONTRADICTED) | (side[face] * facing < 0)
        wrong += int(contradicts.sum())
        side[face] = np.where(contradicts, CONTRADICTED, facing)
        found.append((point, normals[face] * facing[:, None]))
    points, towards = (np.concatenate(parts) for parts in zip(*found))
    return VisibleSurface(points, towards, side != 0, wrong / max(len(points), 1), float((side == CONTRADICTED).mean()),
                          2 / resolution)


def _look(tracer, camera: Float[np.ndarray, "3"], resolution: int, anchors: Float[np.ndarray, "f 3"],
          normals: Float[np.ndarray, "f 3"]) -> tuple[Float[np.ndarray, "p 3"], Int[np.ndarray, "p"], Float[np.ndarray, "p"]]:
    """Of the rays of one camera that meet the mesh: where, which face, and the cosine between ray and its normal."""
    origins = _pixels(camera, resolution)
    direction = -camera
    face = tracer.intersects_first(origins, np.broadcast_to(direction, origins.shape))
    hit = face >= 0
    origins, face = origins[hit], face[hit].astype(np.int64)
    cosine = normals[face] @ direction
    clear = np.abs(cosine) >= GRAZING
    origins, face, cosine = origins[clear], face[clear], cosine[clear]
    distance = ((anchors[face] - origins) * normals[face]).sum(-1) / cosine
    return origins + distance[:, None] * direction, face, cosine


def _pixels(camera: Float[np.ndarray, "3"], resolution: int) -> Float[np.ndarray, "r 3"]:
    """Origins of a camera's rays, those that can meet the unit sphere."""
    right = unit_vectors(np.cross([0.0, 1.0, 0.0], camera))
    up = np.cross(camera, right)
    centre = (np.arange(resolution) + 0.5) * 2 / resolution - 1
    u, v = (a.reshape(-1) for a in np.meshgrid(centre, centre))
    within = u**2 + v**2 <= 1
    return DISTANCE * camera + u[within, None] * right + v[within, None] * up
