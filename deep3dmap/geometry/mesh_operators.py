"""Differential quantities of triangle meshes: edges, normals, and weighted sums over neighbours, the graph Laplacians.

Everything is differentiable in the vertices. Meshes of a batch may be packed into one: they share no edge.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.triangles import face_areas, face_crosses, unique_edges, unit

#: Limit of the cotangents' absolute values; beyond it rounding errors dominate.
STEEPEST = 1e6


class EdgeWeights(NamedTuple):
    """A symmetric matrix over vertices with entries at edges.

    Attributes:
        edges: vertices of each edge, each edge once.
        weights: of each edge.
        vertex_count: rows of the matrix.
    """

    edges: Int[Tensor, "e 2"]
    weights: Float[Tensor, "e"]
    vertex_count: int

    def times(self, values: Float[Tensor, "v c"]) -> Float[Tensor, "v c"]:
        """Sums over each vertex's neighbours of weight times value."""
        start, end = self.edges.unbind(1)
        sums = torch.zeros_like(values).index_add(0, start, self.weights[:, None] * values[end])
        return sums.index_add(0, end, self.weights[:, None] * values[start])

    def sums(self) -> Float[Tensor, "v 1"]:
        """Sum of the weights of each vertex's edges."""
        return self.times(self.weights.new_ones(self.vertex_count, 1))

    def offsets(self, values: Float[Tensor, "v c"]) -> Float[Tensor, "v c"]:
        """From each value to its neighbours' weighted mean; 0 for vertices whose weights don't sum to something positive."""
        sums = self.sums()
        known = sums > 0
        return torch.where(known, self.times(values) / torch.where(known, sums, 1.0) - values, 0.0)


def check_mesh(vertices: Float[Tensor, "v d"], faces: Int[Tensor, "f c"]):
    """Check that the faces' indices are in range and the vertices finite.

    Raises:
        ValueError: that names the argument.
    """
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise ValueError(f"faces have vertex indices from {int(faces.min())} to {int(faces.max())}, "
                         f"but there are {len(vertices)} vertices")
    if not vertices.isfinite().all():
        raise ValueError("vertices has coordinates that are not finite")


def edge_lengths(vertices: Float[Tensor, "v 3"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, "e"]:
    """Length of each edge; the gradient of an edge without length is 0."""
    return (vertices[edges[:, 0]] - vertices[edges[:, 1]]).norm(dim=-1)


def face_normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "f 3"]:
    """Unit normals, to the side from which the corners run counter-clockwise; 0 for faces without area.

    Raises:
        ValueError: if a face has an index out of range, or a vertex is not finite.
    """
    check_mesh(vertices, faces)
    return unit(face_crosses(vertices, faces))


def vertex_normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    """Unit normals of the vertices: their faces' normals, weighted by area; 0 for vertices of no face.

    Raises:
        ValueError: if a face has an index out of range, or a vertex is not finite.
    """
    check_mesh(vertices, faces)
    crosses = face_crosses(vertices, faces)
    return unit(torch.zeros_like(vertices).index_add(0, faces.reshape(-1), crosses.repeat_interleave(3, 0)))


def uniform_weights(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> EdgeWeights:
    """Weight 1 of every edge: its offsets are the umbrella operator of Taubin 1995."""
    edges = unique_edges(faces).vertices
    return EdgeWeights(edges, vertices.new_ones(len(edges)), len(vertices))


def inverse_length_weights(vertices: Float[Tensor, "v 3"], edges: Int[Tensor, "e 2"]) -> EdgeWeights:
    """One over the length of every edge (Fujiwara 1995): its offsets depend less on how a surface is meshed."""
    return EdgeWeights(edges, 1 / edge_lengths(vertices, edges).clamp(min=1e-12), len(vertices))


def cotangent_weights(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> EdgeWeights:
    """Sum of the cotangents of the angles opposite every edge (Pinkall and Polthier 1993)."""
    corners = vertices[faces]
    forth, back = corners.roll(-1, 1) - corners, corners.roll(1, 1) - corners
    height = torch.linalg.cross(forth, back).norm(dim=-1)
    narrowest = forth.norm(dim=-1) * back.norm(dim=-1) / STEEPEST
    cotangents = (forth * back).sum(-1) / torch.maximum(height, narrowest).clamp(min=torch.finfo(vertices.dtype).tiny)
    edges = unique_edges(faces)
    weights = vertices.new_zeros(len(edges.vertices)).index_add(0, edges.of_faces.reshape(-1), cotangents.reshape(-1))
    return EdgeWeights(edges.vertices, weights, len(vertices))


def vertex_areas(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v"]:
    """Area of all faces around each vertex (every face counts for each of its corners)."""
    areas = face_areas(vertices, faces).repeat_interleave(3)
    return vertices.new_zeros(len(vertices)).index_add(0, faces.reshape(-1), areas)


def face_pairs(faces: Int[Tensor, "f 3"]) -> tuple[Int[Tensor, "m 2"], Int[Tensor, "m 2"]]:
    """Pairs of faces with a common edge: the edge's vertices, and the corner of each face that is opposite.

    An edge of n faces has n(n - 1)/2 pairs.
    """
    edges = unique_edges(faces)
    edge, order = edges.of_faces.reshape(-1).sort(stable=True)
    corner = faces.reshape(-1)[order]
    most = int(torch.bincount(edge).max()) if len(edge) else 0
    firsts = [torch.nonzero(edge[step:] == edge[:len(edge) - step])[:, 0] for step in range(1, most)]
    first = torch.cat([edge[:0], *firsts])
    second = torch.cat([edge[:0], *(found + step for step, found in enumerate(firsts, 1))])
    return edges.vertices[edge[first]], torch.stack([corner[first], corner[second]], -1)


def bend_cosines(vertices: Float[Tensor, "v 3"], edges: Int[Tensor, "m 2"], opposite: Int[Tensor,
                                                                                          "m 2"]) -> Float[Tensor, "m"]:
    """Cosine of the angle by which the surface bends at edges between two faces: 1 where it is flat, -1 where it folds back.

    Independent of the faces' orientation. At a face without area the cosine is 0.

    Args:
        vertices: of the mesh.
        edges, opposite: as of :func:`face_pairs`.
    """
    start, end, left, right = vertices[torch.cat([edges, opposite], 1)].unbind(1)
    along = end - start
    return (unit(torch.linalg.cross(along, left - start)) * unit(torch.linalg.cross(right - start, along))).sum(-1)


def taubin_smoothing(vertices: Float[Tensor, "v 3"],
                     faces: Int[Tensor, "f 3"],
                     iterations: int = 10,
                     shrink: float = 0.53,
                     inflate: float = -0.53) -> Float[Tensor, "v 3"]:
    """Smooth a mesh nearly without shrinking its volume.

    Source: Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995, section 3.1, with inverse edge
    lengths as weights (section 3.2).

    Args:
        vertices: of the mesh.
        faces: of the mesh.
        iterations: pairs of steps.
        shrink: fraction of the way to the neighbours' mean of the first step of a pair (lambda in the paper).
        inflate: of the second step (mu): negative, and for a true low-pass filter a little larger.

    Raises:
        ValueError: for negative ``iterations``; if a face has an index out of range, or a vertex is not finite.
    """
    if iterations < 0:
        raise ValueError(f"iterations must be 0 or more, got {iterations}")
    check_mesh(vertices, faces)
    edges = unique_edges(faces).vertices
    for step in (shrink, inflate) * iterations:
        vertices = vertices + step * inverse_length_weights(vertices, edges).offsets(vertices)
    return vertices
