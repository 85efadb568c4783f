"""What ``deep3dmap check`` finds in photographs whose cameras are made wrong: the table of docs/capture_checks.md.

    python -m tests.datasets.photo_faults temple_sparse_ring fox

A line for each fault: pairs of views that can be compared, median and largest of their distances, share of contradicted pairs.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from deep3dmap.datasets.formats import load_capture
from deep3dmap.datasets.photo_checks import Photographs, photo_consistency, photo_warnings
from deep3dmap.structures import Cameras, Capture


def with_cameras(capture: Capture, K: torch.Tensor, poses: torch.Tensor) -> Capture:
    """The same photographs with other cameras."""
    return replace(capture, cameras=Cameras(K, poses, capture.cameras.size))


def faults(capture: Capture) -> Iterator[tuple[str, Capture]]:
    """The capture as it is, then with one fault at a time."""
    K, poses, count = capture.cameras.K, capture.cameras.world_to_cam, len(capture)
    yield "none", capture
    for factor in (1.3, 1.1):
        scaled = K.clone()
        scaled[:, :2, :2] *= factor
        yield f"focal length x{factor}", with_cameras(capture, scaled, poses)
    for axis, name in enumerate(("right", "down")):
        moved = K.clone()
        moved[:, axis, 2] += 20 / 256 * capture.cameras.size[1]
        yield f"principal point {name} by 20/256", with_cameras(capture, moved, poses)
    masks = None if capture.masks is None else capture.masks.flip(2)
    yield "photographs mirrored", replace(capture, images=capture.images.flip(2), masks=masks)
    yield "order reversed", with_cameras(capture, K.flip(0), poses.flip(0))
    order = list(range(count))
    order[count // 4], order[count // 4 + 2] = order[count // 4 + 2], order[count // 4]
    yield "two cameras swapped", with_cameras(capture, K[order], poses[order])
    yield "one camera off by 5 %", with_cameras(capture, K, one_moved(capture.cameras, count // 3))


def one_moved(cameras: Cameras, view: int) -> torch.Tensor:
    """The poses with one camera moved by 5 % of the cameras' mean distance from their middle, in a random direction."""
    centers = cameras.centers
    step = torch.randn(3, generator=torch.Generator().manual_seed(1)).to(centers)
    step *= 0.05 * (centers - centers.mean(0)).norm(dim=-1).mean() / step.norm()
    poses = cameras.world_to_cam.clone()
    poses[view, :, 3] -= poses[view, :, :3] @ step
    return poses


def main() -> None:
    """Measure the captures that are named."""
    for name in sys.argv[1:]:
        for fault, capture in faults(load_capture(name)):
            photographs = Photographs.of(capture)
            fits = photo_consistency(photographs)
            apart = np.array([fit.distance for fit in fits] or [np.nan])
            share = np.mean([fit.contradicts for fit in fits] or [0])
            found = "; ".join(photo_warnings(photographs)).partition(":")[0] or "nothing"
            print(f"| {name} | {fault} | {len(fits)} | {np.median(apart):.2f} | {apart.max():.2f} | {share:.0%} | {found} |")


if __name__ == "__main__":
    main()
