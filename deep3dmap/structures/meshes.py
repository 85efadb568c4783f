"""Batches of triangle meshes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import trimesh
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Meshes:
    """``n`` triangle meshes of any sizes, packed: their vertices and faces one mesh after the other.

    Attributes:
        vertices: (v, 3) of all meshes.
        faces: (f, 3) indices into ``vertices``; those of mesh i stay within its own vertices.
        vertex_counts: number of vertices of each mesh.
        face_counts: number of faces of each mesh; 0 for an empty one.
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    vertex_counts: tuple[int, ...]
    face_counts: tuple[int, ...]

    @classmethod
    def pack(cls, vertices: Sequence[Float[Tensor, "_ 3"]], faces: Sequence[Int[Tensor, "_ 3"]]) -> "Meshes":
        """Pack separate meshes into a batch.

        Args:
            vertices: (v_i, 3) of each mesh.
            faces: (f_i, 3) of each mesh, indices into its own vertices.

        Raises:
            ValueError: if there are not as many vertex as face arrays, or a face has an index out of range; names the mesh.
        """
        if len(vertices) != len(faces) or not vertices:
            raise ValueError(f"a batch of meshes needs vertices and faces of each, got {len(vertices)} and {len(faces)}")
        for i, (points, corners) in enumerate(zip(vertices, faces)):
            if len(corners) and not 0 <= int(corners.min()) <= int(corners.max()) < len(points):
                raise ValueError(f"mesh {i}: faces have vertex indices from {int(corners.min())} to {int(corners.max())}, "
                                 f"but it has {len(points)} vertices")
        counts = tuple(len(points) for points in vertices)
        starts = np.cumsum((0, *counts))
        packed = torch.cat([corners.long() + int(start) for corners, start in zip(faces, starts)])
        return cls(torch.cat(list(vertices)), packed, counts, tuple(len(corners) for corners in faces))

    @classmethod
    def from_trimesh(cls, *meshes: trimesh.Trimesh) -> "Meshes":
        """A batch of trimesh's meshes, float32 on the CPU."""
        return cls.pack([torch.tensor(np.asarray(mesh.vertices), dtype=torch.float32) for mesh in meshes],
                        [torch.tensor(np.asarray(mesh.faces)).reshape(-1, 3) for mesh in meshes])

    def __len__(self) -> int:
        return len(self.vertex_counts)

    @property
    def vertex_mesh(self) -> Int[Tensor, "v"]:
        """Which mesh each vertex belongs to."""
        return self._owners(self.vertex_counts)

    @property
    def face_mesh(self) -> Int[Tensor, "f"]:
        """Which mesh each face belongs to."""
        return self._owners(self.face_counts)

    def _owners(self, counts: tuple[int, ...]) -> Tensor:
        index = torch.arange(len(self), device=self.vertices.device)
        return index.repeat_interleave(torch.tensor(counts, device=self.vertices.device))

    def with_vertices(self, vertices: Float[Tensor, "v 3"]) -> "Meshes":
        """The same faces with other vertex positions."""
        return replace(self, vertices=vertices)

    def to(self, *args, **kwargs) -> "Meshes":
        """The same meshes on another device or with vertices of another type (arguments of ``Tensor.to``)."""
        vertices = self.vertices.to(*args, **kwargs)
        return replace(self, vertices=vertices, faces=self.faces.to(vertices.device))

    def unpack(self) -> list[tuple[Float[Tensor, "_ 3"], Int[Tensor, "_ 3"]]]:
        """Vertices and faces of each mesh, faces as indices into its own vertices."""
        starts = np.cumsum((0, *self.vertex_counts))
        pieces = zip(self.vertices.split(self.vertex_counts), self.faces.split(self.face_counts), starts)
        return [(vertices, faces - int(start)) for vertices, faces, start in pieces]
