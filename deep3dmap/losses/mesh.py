"""Regularisation of meshes, and distances to points, for fitting meshes by deformation.

Each is a mean over a mesh's faces, edges or points, then a mean over the meshes of the batch.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from deep3dmap.geometry.mesh_operators import (
    bend_cosines,
    cotangent_weights,
    edge_lengths,
    face_pairs,
    uniform_weights,
    vertex_areas,
)
from deep3dmap.geometry.nearest import Counts, cloud_counts
from deep3dmap.geometry.point_mesh import mesh_to_points, points_to_mesh
from deep3dmap.geometry.triangles import unique_edges
from deep3dmap.losses.base import Loss
from deep3dmap.registry import LOSSES
from deep3dmap.structures.meshes import Meshes

Laplacian = Literal["uniform", "cotangent", "curvature"]


def mean_by_mesh(values: Float[Tensor, "e"], mesh: Int[Tensor, "e"], count: int) -> Float[Tensor, ""]:
    """Mean over the values of each mesh, then over the meshes; the mean of a mesh without values is 0.

    Args:
        values: of vertices, edges or faces.
        mesh: which of the meshes each belongs to.
        count: number of meshes.
    """
    members = torch.bincount(mesh, minlength=count).clamp(min=1)
    return (values / members[mesh]).sum() / max(count, 1)


def edge_loss(meshes: Meshes, target: float = 0.0) -> Float[Tensor, ""]:
    """Mean squared difference between the edges' lengths and a target length.

    Raises:
        ValueError: if ``target`` is negative.
    """
    if not target >= 0:
        raise ValueError(f"target must be a length of 0 or more, got {target}")
    edges = unique_edges(meshes.faces).vertices
    return mean_by_mesh((edge_lengths(meshes.vertices, edges) - target)**2, meshes.vertex_mesh[edges[:, 0]], len(meshes))


def laplacian_loss(meshes: Meshes, method: Laplacian = "uniform") -> Float[Tensor, ""]:
    """Mean length of the Laplacian of the vertices: the offsets to the weighted means of their neighbours.

    Source: Nealen et al., "Laplacian mesh optimization", GRAPHITE 2006, section 3; for ``curvature`` Desbrun et al., "Implicit
    fairing of irregular meshes", SIGGRAPH 1999, eq. 14.

    Args:
        meshes: the batch.
        method: ``uniform`` takes the neighbours' mean; ``cotangent`` weighs them by the angles opposite the edges (so that a
            plane has no offsets, however it is meshed); ``curvature`` divides their sum by the area around the vertex: a third
            of its mean curvature. Weights and areas are held fixed: gradients go through the offsets only.

    Raises:
        ValueError: for an unknown method.
    """
    vertices, faces = meshes.vertices, meshes.faces
    if method == "uniform":
        offsets = uniform_weights(vertices, faces).offsets(vertices)
    elif method == "cotangent":
        offsets = cotangent_weights(vertices.detach(), faces).offsets(vertices)
    elif method == "curvature":
        offsets = _curvature_normals(vertices, faces)
    else:
        raise ValueError(f"method must be 'uniform', 'cotangent' or 'curvature', got {method!r}")
    return mean_by_mesh(offsets.norm(dim=-1), meshes.vertex_mesh, len(meshes))


def _curvature_normals(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v 3"]:
    weights = cotangent_weights(vertices.detach(), faces)
    areas = 4 * vertex_areas(vertices.detach(), faces)[:, None]
    offsets = weights.times(vertices) - weights.sums() * vertices
    return torch.where(areas > 0, offsets / torch.where(areas > 0, areas, 1.0), 0.0)


def normal_consistency(meshes: Meshes) -> Float[Tensor, ""]:
    """Mean of 1 minus the cosine of the angle by which the surface bends at its inner edges."""
    edges, opposite = face_pairs(meshes.faces)
    bends = 1 - bend_cosines(meshes.vertices, edges, opposite)
    return mean_by_mesh(bends, meshes.vertex_mesh[edges[:, 0]], len(meshes))


def point_mesh_loss(meshes: Meshes,
                    points: Float[Tensor, "n p 3"],
                    counts: Counts = None,
                    *,
                    to: Literal["faces", "edges"] = "faces",
                    least_area: float = 0.0) -> Float[Tensor, ""]:
    """Mean squared distance from points to a mesh's closest faces, plus that from its faces to the closest points.

    Args:
        meshes: the batch.
        points: a cloud for each mesh, padded.
        counts: number of points in each cloud; all by default.
        to: ``edges`` measures to the edges instead.
        least_area: see :func:`~deep3dmap.geometry.point_mesh.points_to_mesh`.

    Raises:
        ValueError: if there are not as many clouds as meshes, one of them is empty, or a coordinate is not finite.
        MissingDependencyError: if libigl is not installed.
    """
    lengths = cloud_counts(points, counts, "points")
    if len(lengths) != len(meshes):
        raise ValueError(f"points must be a cloud for each of {len(meshes)} meshes, got {len(lengths)}")
    if to not in ("faces", "edges"):
        raise ValueError(f"to must be 'faces' or 'edges', got {to!r}")
    terms = []
    for cloud, length, (vertices, faces) in zip(points, lengths, meshes.unpack()):
        simplices = faces if to == "faces" else unique_edges(faces).vertices
        arguments = (cloud[:length], vertices, simplices, least_area)
        terms.append(points_to_mesh(*arguments).mean() + mesh_to_points(*arguments).mean())
    return torch.stack(terms).mean()


@LOSSES.register_module()
class EdgeLengthLoss(Loss):
    """Mean squared difference between edge lengths and a target.

    Args:
        weight: a number or a schedule.
        target: length, in the vertices' unit.
    """

    def __init__(self, weight: float | Sequence[float] | dict = 1.0, target: float = 0.0):
        super().__init__(weight)
        self.target = target

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss; ``outputs`` has the ``meshes``."""
        return edge_loss(outputs["meshes"], self.target)


@LOSSES.register_module()
class LaplacianLoss(Loss):
    """Mean length of the Laplacian of the vertices.

    Args:
        weight: a number or a schedule.
        method: ``uniform``, ``cotangent`` or ``curvature``: see :func:`laplacian_loss`.
    """

    def __init__(self, weight: float | Sequence[float] | dict = 1.0, method: Laplacian = "uniform"):
        super().__init__(weight)
        self.method = method

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss; ``outputs`` has the ``meshes``."""
        return laplacian_loss(outputs["meshes"], self.method)


@LOSSES.register_module()
class NormalConsistencyLoss(Loss):
    """Mean of 1 minus the cosine between the normals of neighbouring faces."""

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss; ``outputs`` has the ``meshes``."""
        return normal_consistency(outputs["meshes"])


@LOSSES.register_module()
class PointMeshLoss(Loss):
    """Mean squared distance between points and a mesh's faces, both ways.

    Args:
        weight: a number or a schedule.
        to: ``faces``, or ``edges`` to measure to these instead.
        least_area: faces of smaller area are replaced by their edges; squared unit of the vertices.
    """

    def __init__(self,
                 weight: float | Sequence[float] | dict = 1.0,
                 to: Literal["faces", "edges"] = "faces",
                 least_area: float = 0.0):
        super().__init__(weight)
        self.to, self.least_area = to, least_area

    def forward(self, outputs: dict, inputs: dict) -> Float[Tensor, ""]:
        """The unweighted loss.

        Args:
            outputs: ``meshes``.
            inputs: ``points`` (n, p, 3), a cloud for each mesh; ``point_counts`` (n,) if the clouds are padded.
        """
        return point_mesh_loss(outputs["meshes"], inputs["points"], inputs.get("point_counts"), to=self.to,
                               least_area=self.least_area)  # yapf: disable
