"""Triangle meshes as tensors: edges, areas, volume, points on the surface, connected components."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor


class Edges(NamedTuple):
    """The edges of a mesh, each once.

    Attributes:
        vertices: lower index first, in ascending order.
        of_faces: the edge opposite each corner of each face.
    """

    vertices: Int[Tensor, "e 2"]
    of_faces: Int[Tensor, "f 3"]


def unique_edges(faces: Int[Tensor, "f 3"]) -> Edges:
    """The edges of a mesh and which of them bound each face."""
    ends = faces[:, [[1, 2], [2, 0], [0, 1]]].long().sort(-1).values
    span = int(faces.max()) + 1 if len(faces) else 1
    keys, of_faces = torch.unique(ends[..., 0] * span + ends[..., 1], return_inverse=True)
    return Edges(torch.stack([keys // span, keys % span], -1), of_faces)


def face_areas(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "f"]:
    """Area of every triangle, in squared units of the vertices."""
    return face_crosses(vertices, faces).norm(dim=-1) / 2


def face_crosses(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "f 3"]:
    """Normals of length twice the faces' areas, to the side from which the corners run counter-clockwise."""
    a, b, c = vertices[faces].unbind(1)
    return torch.linalg.cross(b - a, c - a)


def unit(vectors: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """Vectors of length 1; 0 stays 0, with a finite gradient; independent of scale."""
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(length > 0, length, 1.0)


def signed_volume(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, ""]:
    """Volume enclosed by a closed mesh: positive where its faces' normals point outward.

    Summed in double precision (divergence theorem over the triangles).
    """
    a, b, c = vertices.double()[faces].unbind(1)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def sample_surface(vertices: Float[Tensor, "v 3"],
                   faces: Int[Tensor, "f 3"],
                   count: int,
                   generator: torch.Generator | None = None) -> Float[Tensor, "count 3"]:
    """Points drawn uniformly from the surface.

    Raises:
        ValueError: if the mesh has no area.
    """
    face, weights = _draw(vertices, faces, count, generator)
    return (weights[..., None] * vertices[faces[face]]).sum(1)


def sample_surface_normals(
        vertices: Float[Tensor, "v 3"],
        faces: Int[Tensor, "f 3"],
        count: int,
        generator: torch.Generator | None = None) -> tuple[Float[Tensor, "count 3"], Float[Tensor, "count 3"]]:
    """The points of :func:`sample_surface` with the unit normals of their faces, both differentiable in the vertices.

    Raises:
        ValueError: if the mesh has no area.
    """
    face, weights = _draw(vertices, faces, count, generator)
    return (weights[..., None] * vertices[faces[face]]).sum(1), unit(face_crosses(vertices, faces[face]))


def _draw(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], count: int,
          generator: torch.Generator | None) -> tuple[Int[Tensor, "count"], Float[Tensor, "count 3"]]:
    """Faces drawn in proportion to their area, and weights of their corners."""
    areas = face_areas(vertices.detach().double(), faces).cpu()
    if not areas.sum() > 0:
        raise ValueError(f"can't draw points from a surface without area ({len(faces)} faces)")
    # inverse of the cumulative area rather than torch.multinomial, which refuses more than 2^24 faces
    cumulative = areas.cumsum(0)
    draws = torch.rand(3, count, generator=generator, dtype=torch.float64)
    face = torch.searchsorted(cumulative, draws[0] * cumulative[-1]).clamp(max=len(faces) - 1)
    root, v = draws[1].sqrt(), draws[2]
    weights = torch.stack([1 - root, root * (1 - v), root * v], -1)
    return face.to(faces.device), weights.to(vertices)


def face_components(faces: Int[Tensor, "f 3"]) -> Int[Tensor, "f"]:
    """Index of the connected component to which each face belongs; faces are connected where they share an edge."""
    edge = unique_edges(faces.cpu()).of_faces.reshape(-1).numpy()
    face = np.repeat(np.arange(len(faces)), 3)
    incidence = sparse.coo_matrix((np.ones(len(edge), bool), (face, edge)), (len(faces), edge.max(initial=-1) + 1)).tocsr()
    labels = sparse.csgraph.connected_components(incidence @ incidence.T, directed=False)[1]
    return torch.as_tensor(labels, dtype=torch.int64, device=faces.device)


def largest_component(vertices: Float[Tensor, "v 3"], faces: Int[Tensor,
                                                                 "f 3"]) -> tuple[Float[Tensor, "w 3"], Int[Tensor, "g 3"]]:
    """The connected component with the largest area, as IDR's evaluation keeps it; vertices that it doesn't use are dropped.

    Raises:
        ValueError: if there are no faces.
    """
    if not len(faces):
        raise ValueError("a mesh without faces has no largest component")
    labels = face_components(faces)
    areas = torch.zeros(int(labels.max()) + 1, dtype=torch.float64, device=faces.device)
    areas.index_add_(0, labels, face_areas(vertices.double(), faces))
    return drop_unused_vertices(vertices, faces[labels == areas.argmax()])


def drop_unused_vertices(vertices: Float[Tensor, "v 3"], faces: Int[Tensor,
                                                                    "f 3"]) -> tuple[Float[Tensor, "w 3"], Int[Tensor, "f 3"]]:
    """The same mesh without the vertices that no face uses; the others keep their order."""
    used, renumbered = torch.unique(faces, return_inverse=True)
    return vertices[used], renumbered
