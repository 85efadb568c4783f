"""Triangle meshes as boundaries of solids: cleaning meshes read from files, and checking whether they enclose a volume.

A mesh bounds a solid where its oriented triangles have no boundary: every edge is traversed equally often in both directions.
Then the winding number is an integer at every point off the surface (Jacobson et al. 2013), however many faces share an edge.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from deep3dmap.errors import MissingDependencyError
from deep3dmap.geometry.triangles import drop_unused_vertices


class Mesh(NamedTuple):
    """Vertices and triangles, double precision and 64-bit indices as libigl wants them."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


def import_igl():
    """The module ``igl``.

    Raises:
        MissingDependencyError: if libigl is not installed.
    """
    try:
        import igl
    except ImportError:
        raise MissingDependencyError("distances to a surface and winding numbers need libigl: pip install libigl") from None
    return igl


def clean_mesh(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Mesh:
    """The same surface without duplicate vertices and triangles.

    Files repeat vertices along seams of textures and normals (STL: in every triangle), and triangles where a surface has two
    sides. Vertices at the same place become one. Dropped are faces that name a vertex twice or repeat an earlier one (from
    either side), and vertices that no face uses.
    """
    place, same = np.unique(np.ascontiguousarray(vertices, np.float64) + 0.0, axis=0, return_inverse=True)
    triangles = same.reshape(-1)[faces]
    corners = np.sort(triangles, 1)
    triangles = triangles[(corners[:, 0] != corners[:, 1]) & (corners[:, 1] != corners[:, 2])]
    first = np.unique(np.sort(triangles, 1), axis=0, return_index=True)[1]
    used, renumbered = drop_unused_vertices(torch.as_tensor(place), torch.as_tensor(triangles[np.sort(first)]))
    return Mesh(used.numpy(), renumbered.numpy())


def open_edges(faces: Int[np.ndarray, "f 3"]) -> int:
    """Number of edges not traversed equally often in both directions; 0 for a closed mesh that is oriented consistently."""
    return int((_edge_sums(faces, oriented=True) != 0).sum())


def _edge_sums(faces: Int[np.ndarray, "f 3"], oriented: bool) -> Float[np.ndarray, "e"]:
    """Sum over each edge's triangles: +1 or -1 by the direction in which they traverse it, or 1 each."""
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    lower, upper = edges.min(1), edges.max(1)
    key = lower * (int(faces.max(initial=0)) + 1) + upper
    edge = np.unique(key, return_inverse=True)[1].reshape(-1)
    return np.bincount(edge, np.where(oriented & (edges[:, 0] != lower), -1.0, 1.0)).astype(np.float64)


def orient_consistently(mesh: Mesh) -> Mesh:
    """Orient the faces of a closed mesh outward where neighbours disagree; other meshes are returned unchanged.

    A consistent orientation, be it inward, is left alone: it says which pieces are cavities. So are meshes that no
    reorientation of faces closes: those with an edge of an odd number of faces, or with one side only.
    """
    if open_edges(mesh.faces) == 0 or (_edge_sums(mesh.faces, oriented=False) % 2).any():
        return mesh
    igl = import_igl()
    faces, patch = igl.bfs_orient(mesh.faces)
    faces = np.ascontiguousarray(igl.orient_outward(mesh.vertices, faces, patch[:, None])[0], np.int64)
    return mesh if open_edges(faces) else Mesh(mesh.vertices, faces)


def winding_numbers(mesh: Mesh, points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p"]:
    """How often a mesh winds around points: 1 inside and 0 outside a solid (fast winding numbers, Barill et al. 2018).

    Raises:
        MissingDependencyError: if libigl is not installed.
    """
    return import_igl().fast_winding_number(mesh.vertices, mesh.faces, np.ascontiguousarray(points, np.float64))


def surface_distances(mesh: Mesh, points: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, "p"]:
    """Distances of points to a mesh's triangles, exact up to rounding; fastest for spatially ordered points.

    Raises:
        MissingDependencyError: if libigl is not installed.
    """
    squared = import_igl().point_mesh_squared_distance(np.ascontiguousarray(points, np.float64), mesh.vertices, mesh.faces)[0]
    return np.sqrt(squared.clip(0))


def spatial_order(points: Float[np.ndarray, "p 3"], bits: int = 10) -> Int[np.ndarray, "p"]:
    """An order in which consecutive points are close to each other (Morton 1966), for faster searches."""
    low, high = points.min(0, initial=0), points.max(0, initial=0)
    cells = ((points - low) / np.maximum(high - low, 1e-300) * (2**bits - 1)).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in range(bits):
        for axis in range(3):
            code |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")
