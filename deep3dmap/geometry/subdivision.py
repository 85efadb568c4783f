"""Finer meshes of the same surface."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.mesh_operators import check_mesh
from deep3dmap.geometry.triangles import unique_edges


def subdivide(vertices: Float[Tensor, "v c"], faces: Int[Tensor, "f 3"]) -> tuple[Float[Tensor, "w c"], Int[Tensor, "g 3"]]:
    """Split every face into four at the midpoints of its edges; the surface is unchanged.

    Args:
        vertices: of any dimension: positions, optionally with colours or other attributes appended.
        faces: of the mesh.

    Returns:
        The vertices, then the edges' midpoints; and the faces: all at first corners, at second ones, at third ones, then those
        in the middle. Orientation is kept. Differentiable in the vertices.

    Raises:
        ValueError: if a face has an index out of range, or a vertex is not finite.
    """
    check_mesh(vertices, faces)
    edges = unique_edges(faces)
    a, b, c = faces.long().unbind(1)
    opposite_a, opposite_b, opposite_c = (len(vertices) + edges.of_faces).unbind(1)
    parts = ((a, opposite_c, opposite_b), (b, opposite_a, opposite_c), (c, opposite_b, opposite_a),
             (opposite_a, opposite_b, opposite_c))  # yapf: disable
    midpoints = vertices[edges.vertices].mean(1)
    return torch.cat([vertices, midpoints]), torch.cat([torch.stack(part, -1) for part in parts])
