"""Work of the compiled loops shared among threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Int64

from deep3dmap.geometry.tsdf import kernel
from deep3dmap.geometry.tsdf.frame import DepthFrame, pinhole


def in_threads(task: Callable[[int, int], object], count: int) -> list:
    """Results of a task for consecutive ranges of ``count`` things, a few for each of torch's threads, in their order."""
    threads = torch.get_num_threads()
    ends = np.linspace(0, count, min(count, 4 * threads if threads > 1 else 1) + 1).astype(int).tolist()
    if threads == 1:
        return [task(*pair) for pair in zip(ends, ends[1:])]
    with ThreadPoolExecutor(threads) as pool:  # numba's own would not survive a fork
        return list(pool.map(task, ends, ends[1:]))


def integrate_blocks(arrays: tuple[np.ndarray, np.ndarray, np.ndarray], slots: Int64[np.ndarray, "m"],
                     corners: Float[np.ndarray, "m 3"], voxel_size: float, frame: DepthFrame, truncation: float,
                     max_depth: float) -> None:  # yapf: disable
    """Integrate a depth map into blocks of voxels.

    Args:
        arrays: tsdf, weight and color, see :func:`.kernel.update`.
        slots: indices of the blocks.
        corners: centres of their first voxels in the world, metres.
        voxel_size: metres.
        frame: the depth map.
        truncation, max_depth: metres.
    """
    cam, depth = frame.world_to_cam, np.ascontiguousarray(frame.depth)
    local, axes = corners @ cam[:, :3].T + cam[:, 3], voxel_size * cam[:, :3]
    image, image_lens = frame.picture()

    def part(first: int, last: int) -> None:
        kernel.update(*arrays, slots[first:last], local[first:last], axes, depth, pinhole(frame.K), float(truncation),
                      float(max_depth), image, image_lens)  # yapf: disable

    in_threads(part, len(slots))
