"""The fixtures' fragments as inputs of our networks."""

import torch
from torch import Tensor

from tests.goldens import tensor


def fragment(golden, k: int, levels: int = 3) -> dict:
    """Inputs of fragment ``k``, the first of which begins its scene."""
    found = dict(begins=[k == 0])
    names = dict(scene_origin="vol_origin", origin="vol_origin_partial", aligned_camera="world_to_aligned_camera",
                 projections="proj_matrices")  # yapf: disable
    found |= {ours: tensor(golden[f"f{k}_{theirs}"]) for ours, theirs in names.items()}
    for ours, theirs in dict(tsdf="tsdf", occupancy="occ").items():
        found[ours] = [tensor(golden[f"f{k}_{theirs}_l{scale}"])[None] for scale in range(levels)]
    return found


def by_position(coords: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Rows in the order of their integer positions."""
    coords = coords.long()
    low = coords.min(0).values
    span = coords.max(0).values - low + 1
    key = torch.zeros(len(coords), dtype=torch.int64)
    for axis in range(coords.shape[1]):
        key = key * span[axis] + coords[:, axis] - low[axis]
    order = key.argsort()
    return (coords[order], *(value[order] for value in values))


def assert_same_rows(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], tolerance: float) -> None:
    """Positions are the same, in whatever order, and values close."""
    ours, theirs = by_position(*ours), by_position(*theirs)
    assert torch.equal(ours[0], theirs[0])
    for own, other in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(own, other.reshape(own.shape), atol=tolerance, rtol=tolerance)
