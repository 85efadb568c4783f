import numpy as np

from deep3dmap.benchmarks.cost import cases_of
from deep3dmap.benchmarks.fusion import ROOM, frames
from deep3dmap.frameworks import Fusion

FUSION = cases_of("fusion")


def test_depth_maps_are_those_of_the_rooms_walls():
    batch = frames(3, 40)
    rows, columns = np.indices(batch["depth"].shape[1:]) + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    for K, pose, depth in zip(batch["K"].numpy(), batch["poses"].numpy(), batch["depth"].numpy()):
        points = depth[..., None] * (pixels @ np.linalg.inv(K).T) @ pose[:3, :3].T + pose[:3, 3]
        outermost = np.abs(points / ROOM.numpy()).max(-1)
        np.testing.assert_allclose(outermost, 1, atol=1e-5)


def test_every_run_begins_with_an_empty_volume():
    framework = Fusion(voxel_size=0.16)
    job = FUSION.work["fuse"].job(framework, 1)
    job.run()
    first = framework.volume.weight.copy()
    job.run()
    np.testing.assert_array_equal(framework.volume.weight, first)


def test_smaller_voxels_make_a_finer_mesh():
    coarse, fine = (FUSION.work["mesh_voxels"].job(Fusion(min_weight=1.0), n).run() for n in (320, 160))
    assert len(fine.faces) > 2 * len(coarse.faces) > 0
