"""Clipping of triangles at a near plane in front of the camera, before perspective division.

A triangle with one corner behind the plane becomes two, with two corners behind it one; new corners are
differentiable in the old ones (Blinn and Newell, "Clipping using homogeneous coordinates", 1978).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def cut_triangles(corners: Float[Tensor, "t 3 3"], near: float) -> tuple[Int[Tensor, "s"], Float[Tensor, "s 3 3"]] | None:
    """The parts of triangles beyond the near plane.

    Args:
        corners: points (x, y, z) before perspective division; z is the depth.
        near: depth of the plane.

    Returns:
        None if every triangle is beyond the plane. Otherwise for each part the index of its triangle, and the barycentric
        coordinates in that triangle of the part's three corners, differentiable in ``corners``.
    """
    behind = corners[..., 2].detach() < near
    count = behind.sum(-1)
    if not bool(behind.any()):
        return None
    whole = torch.nonzero(count == 0)[:, 0]
    weights = [torch.eye(3).to(corners).expand(len(whole), 3, 3)]
    index = [whole]
    for number in (1, 2):
        some = torch.nonzero(count == number)[:, 0]
        lone = behind[some] if number == 1 else ~behind[some]  # the only corner on its side of the plane
        order = (lone.long().argmax(-1)[:, None] + torch.arange(3, device=lone.device)) % 3
        basis = torch.eye(3).to(corners)[order]
        first, second = (_meeting(basis, corners[some], order, other, near) for other in (1, 2))
        parts = [(basis[:, 0], first, second)] if number == 2 else [(first, basis[:, 1], second),
                                                                     (basis[:, 1], basis[:, 2], second)]  # yapf: disable
        weights += [torch.stack(part, 1) for part in parts]
        index += [some] * len(parts)
    order = torch.argsort(torch.cat(index), stable=True)
    return torch.cat(index)[order], torch.cat(weights)[order]


def _meeting(basis: Float[Tensor, "s 3 3"], corners: Float[Tensor, "s 3 3"], order: Int[Tensor, "s 3"], other: int,
             near: float) -> Float[Tensor, "s 3"]:
    """Barycentric coordinates of the point at which the edge from the lone corner to another intersects the plane."""
    z = corners[..., 2].gather(1, order)
    along = ((near - z[:, 0]) / (z[:, other] - z[:, 0]))[:, None]
    return basis[:, 0] * (1 - along) + basis[:, other] * along
