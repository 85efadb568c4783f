import numpy as np
import pytest
import torch

from deep3dmap.benchmarks.cases import PRODUCTS
from deep3dmap.benchmarks.cost import benchmark, cases_of
from deep3dmap.benchmarks.neuralrecon import corner, walk
from deep3dmap.registry import FRAMEWORKS

NEURALRECON = cases_of("neuralrecon")
TINY = dict(type="NeuralRecon",
            backbone2d=dict(type="EfficientNetLite0"),
            backbone3d=dict(type="SparseUNet", channels=(6, 4, 3)),
            voxel_size=0.16,
            size=(24, 24, 16),
            losses=dict(occupancy=dict(type="OccupancyLoss"), tsdf=dict(type="LogL1Loss")))


@pytest.fixture
def framework():
    torch.manual_seed(0)
    return FRAMEWORKS.build(dict(TINY))


def known_after(framework, number: int) -> int:
    """Remembered finest voxels after the job of a fragment has run twice."""
    job = NEURALRECON.work["fragment"].job(framework, number, amp=False)
    job.warm_up(), job.run(), job.run()
    return len(framework.network.tsdf_fusion.scene[0])


def test_a_quick_run_measures_all_kinds_of_work(one_process):
    results = benchmark("neuralrecon", quick=True, networks=dict(tiny=TINY), device="cpu", write=lambda line: None)
    wanted = [(name, amount) for name, work in NEURALRECON.work.items() for amount in work.quick]
    assert [(r["name"], r["work"]) for r in results[len(PRODUCTS):]] == wanted
    assert all(r["cpu_seconds"] > 0 for r in results)


def test_occupied_voxels_are_at_the_halls_walls(framework):
    for item in walk(framework, 2):
        for step, occupied in zip((1, 2, 4), item["occupancy"]):
            y, z = (item["origin"] + occupied.nonzero() * step * TINY["voxel_size"])[:, 1:].T
            away = torch.stack([(y.abs() - 1.5).abs(), z.abs(), (z - 2.5).abs()]).amin(0)
            assert 0 < len(away) < 0.7 * occupied.numel()
            assert away.max() < 1.5 * 3 * step * TINY["voxel_size"]


def test_a_repeated_fragment_follows_the_same_earlier_ones(framework):
    once = known_after(framework, 1)
    assert once == known_after(framework, 1) > 0
    assert known_after(framework, 2) > once


def test_the_mesh_is_of_the_hall(framework):
    vertices = NEURALRECON.work["mesh"].job(framework, 2).run().vertices
    walls = [abs(abs(vertices[:, 1]) - 1.5), abs(vertices[:, 2]), abs(vertices[:, 2] - 2.5)]
    assert len(vertices) and np.min(walls, 0).max() < TINY["voxel_size"]


def test_voxels_of_a_corner_are_those_closest_to_its_walls():
    coords = corner(1, 48**3 - 47**3)
    assert len(coords.unique(dim=0)) == len(coords) and not coords[:, 1:].amin(1).any()
    assert set((coords % 2).flatten().tolist()) == {0} and coords.max() == 94
