"""The boundary of occupied voxels as a mesh."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

#: Corners of a cell's upper side across an axis, counter-clockwise from outside, as offsets along the next two axes.
SIDE = ((0, 0), (1, 0), (1, 1), (0, 1))


def voxel_mesh(inside: Bool[Tensor, "x y z"]) -> tuple[Float[Tensor, "v 3"], Int[Tensor, "f 3"]]:
    """The boundary between cells inside and outside of a shape, two triangles for each square.

    Args:
        inside: occupied cells; beyond the grid is outside.

    Returns:
        Vertices (float32) in units of cells, cell (i, j, k) fills [i, i + 1] x [j, j + 1] x [k, k + 1], each corner of the
        grid once; and faces, oriented outward. Both are empty if no cell is inside. Edges where cells touch only along
        an edge have four faces.
    """
    padded = torch.nn.functional.pad(inside.to(torch.int8), (1, ) * 6)
    squares = torch.cat([_squares(padded, axis, sign) for axis in range(3) for sign in (1, -1)])
    span = max(padded.shape)
    keys = (squares[..., 0] * span + squares[..., 1]) * span + squares[..., 2]
    places, index = torch.unique(keys, return_inverse=True)
    vertices = torch.stack([places // span**2, places // span % span, places % span], -1)
    return vertices.float(), index[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3)


def _squares(padded: Int[Tensor, "x y z"], axis: int, sign: int) -> Int[Tensor, "s 4 3"]:
    """Corners of the squares through which the shape ends along an axis in one direction, in order around them."""
    ends = padded.diff(dim=axis) == -sign
    between = torch.nonzero(ends)
    cells = between - 1
    cells[:, axis] += 1  # difference i is between padded cells i and i + 1, at corner i of the grid itself
    offsets = torch.zeros(4, 3, dtype=torch.int64, device=padded.device)
    offsets[:, [(axis + 1) % 3, (axis + 2) % 3]] = torch.tensor(SIDE, device=padded.device)
    return cells[:, None] + (offsets if sign > 0 else offsets.flip(0))
