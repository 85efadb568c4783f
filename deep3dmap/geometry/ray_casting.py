"""The first hit of rays on a triangle mesh.

Embree (through trimesh) finds the triangle in single precision; where the ray meets that triangle is then computed in double
precision, so that distances are exact up to the choice between neighbouring triangles.
"""

from dataclasses import dataclass

import numpy as np
import torch
import trimesh
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK = 1 << 18


@dataclass(frozen=True)
class RayHits:
    """Where ``r`` rays first meet a mesh; all on the CPU, in double precision.

    Attributes:
        distance: (r,) along the ray in multiples of its direction's length; 0 for rays that miss.
        face: (r,) index of the triangle; -1 for rays that miss.
        barycentric: (r, 3) weights of the triangle's corners, in [0, 1], sum 1; 0 for rays that miss.
        hit: (r,) which rays meet the mesh.
    """

    distance: Float[Tensor, "r"]
    face: Int[Tensor, "r"]
    barycentric: Float[Tensor, "r 3"]
    hit: Bool[Tensor, "r"]

    def interpolate(self, mesh: trimesh.Trimesh, values: Float[Tensor, "v d"]) -> Float[Tensor, "r d"]:
        """Values given at the mesh's vertices, at the hits; 0 for rays that miss."""
        out = torch.zeros(len(self.hit), values.shape[1], dtype=torch.float64)
        corners = torch.as_tensor(np.asarray(mesh.faces))[self.face[self.hit]]
        out[self.hit] = (values.double()[corners] * self.barycentric[self.hit, :, None]).sum(1)
        return out


def cast_rays(mesh: trimesh.Trimesh,
              origins: Float[Tensor, "r 3"] | Float[np.ndarray, "r 3"],
              directions: Float[Tensor, "r 3"] | Float[np.ndarray, "r 3"],
              chunk: int = CHUNK) -> RayHits:
    """The first hit of every ray, in front of its origin.

    Args:
        mesh: triangles; both sides of each are hit.
        origins: (r, 3) in the mesh's frame.
        directions: (r, 3), of any length but 0.
        chunk: rays at a time, which bounds the memory.
    """
    origins, directions = (torch.as_tensor(x).detach().cpu().double() for x in (origins, directions))
    face = torch.full((len(origins), ), -1, dtype=torch.int64)
    for start in range(0, len(origins) if len(mesh.faces) else 0, chunk):
        part = [x[start:start + chunk].numpy() for x in (origins, directions)]
        # unlike `intersects_first`, this one moves the mesh to the origin before it rounds to single precision
        index_face, index_ray = mesh.ray.intersects_id(*part, multiple_hits=False)
        face[start + torch.as_tensor(index_ray)] = torch.as_tensor(index_face)
    hit = face >= 0
    corners = torch.as_tensor(np.asarray(mesh.vertices, dtype=np.float64))[torch.as_tensor(np.asarray(mesh.faces))[face[hit]]]
    barycentric, distance = torch.zeros(len(face), 3, dtype=torch.float64), torch.zeros(len(face), dtype=torch.float64)
    barycentric[hit], distance[hit] = _meet_triangle(corners, origins[hit], directions[hit])
    return RayHits(distance, face, barycentric, hit)


def _meet_triangle(corners: Float[Tensor, "r 3 3"], origins: Float[Tensor, "r 3"],
                   directions: Float[Tensor, "r 3"]) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r"]]:
    """Barycentric coordinates and distance at which rays meet their triangles (Moeller and Trumbore 1997).

    A ray that passes just outside its triangle (Embree rounds) is given the triangle's nearest edge point.
    """
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    from_corner = origins - corners[:, 0]
    p, q = torch.linalg.cross(directions, edge2), torch.linalg.cross(from_corner, edge1)
    determinant = (edge1 * p).sum(-1)
    u, v = (from_corner * p).sum(-1) / determinant, (directions * q).sum(-1) / determinant
    weights = torch.nan_to_num(torch.stack([1 - u - v, u, v], -1), nan=1 / 3).clamp(0, 1)
    weights = weights / weights.sum(-1, keepdim=True)
    points = (weights[..., None] * corners).sum(1)
    return weights, ((points - origins) * directions).sum(-1) / (directions**2).sum(-1)
