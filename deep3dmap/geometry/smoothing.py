"""Smooth coordinates of a mesh's vertices, so that optimisation with noisy gradients keeps a regular mesh.

Nicolet, Jacobson and Jakob, "Large steps in inverse rendering of geometry", SIGGRAPH Asia 2021: the unknowns are
``u = (I + lambda L) x``, with L the combinatorial Laplacian, in place of the positions x. A step in u moves a whole
neighbourhood smoothly.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, identity
from scipy.sparse.linalg import splu
from torch import Tensor

from deep3dmap.geometry.triangles import unique_edges


class SmoothCoordinates:
    """The change of variables of one mesh.

    Args:
        faces: of the mesh.
        count: number of its vertices.
        strength: lambda; with 0 the coordinates are the positions.
    """

    def __init__(self, faces: Int[Tensor, "f 3"], count: int, strength: float):
        edges = unique_edges(faces.cpu()).vertices.numpy()
        rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
        neighbours = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count)).tocsc()
        degree = coo_matrix((np.asarray(neighbours.sum(1))[:, 0], (range(count), range(count))), shape=(count, count))
        self.matrix = (identity(count) + strength * (degree - neighbours)).tocsc()
        self._factors = splu(self.matrix, permc_spec="MMD_AT_PLUS_A", options=dict(SymmetricMode=True))

    def encode(self, positions: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
        """The unknowns of given positions."""
        return torch.from_numpy(self.matrix @ positions.detach().double().cpu().numpy()).to(positions)

    def positions(self, unknowns: Float[Tensor, "v 3"]) -> Float[Tensor, "v 3"]:
        """The positions of given unknowns, differentiable."""
        return _Solve.apply(unknowns, self._factors)


class _Solve(torch.autograd.Function):
    """A linear system with a symmetric matrix: the gradient is the solution for the gradient."""

    @staticmethod
    def forward(ctx, right, factors):
        ctx.factors = factors
        return _solved(factors, right)

    @staticmethod
    def backward(ctx, gradient):
        return _solved(ctx.factors, gradient), None


def _solved(factors, right: Tensor) -> Tensor:
    return torch.from_numpy(factors.solve(right.detach().double().cpu().numpy())).to(right)
