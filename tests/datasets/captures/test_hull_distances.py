from dataclasses import replace

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.hull_distances import HullDistances
from deep3dmap.datasets.readers import idr
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import DATASETS
from tests.datasets.scenes import CENTER, RADIUS, sphere_capture, write_sphere


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The scene's frame is the world shrunk to half, so the true sphere is known there."""
    half = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    return dict(capture=str(write_sphere(tmp_path_factory.mktemp("hull") / "sphere", similarity=half)), test_views=0)


@pytest.fixture(scope="module")
def dataset(scene):
    return HullDistances(scene, points=4000, resolution=64)


def draw(dataset, seed=0, **share):
    return dataset.batch(0, torch.Generator().manual_seed(seed), **share)


def true_distances(points):
    return (points - torch.tensor(CENTER / 2)).norm(dim=-1) - RADIUS / 2


def test_the_hull_of_a_sphere_lies_close_around_it(dataset):
    batch = draw(dataset)
    excess = true_distances(batch["points"]) - batch["sdf"]
    pixel = 0.5 * 4.0 / 60  # at the sphere's distance, in the scene's units
    assert excess.min() > -pixel - 2 / 64  # the hull contains the sphere, but for the masks' pixels and the grid
    assert excess.abs().mean() < 0.06  # seven views leave little between them
    assert np.corrcoef(true_distances(batch["points"]), batch["sdf"])[0, 1] > 0.99


def test_signs_are_right_away_from_the_surface(dataset):
    batch = draw(dataset)
    true = true_distances(batch["points"])
    assert (batch["sdf"][true < -0.05] < 0).all() and (batch["sdf"][true > 0.2] > 0).all()


def test_distances_change_by_at_most_the_distance_between_points(dataset):
    batch = draw(dataset)
    gaps = torch.cdist(batch["points"][:500], batch["points"][:500])
    change = (batch["sdf"][:500, None] - batch["sdf"][None, :500]).abs()
    assert (change - gaps).max() < 2 * 2 / 64


def test_most_points_lie_near_the_surface_and_the_others_fill_the_cube(scene):
    batch = draw(HullDistances(scene, points=4000, resolution=64, near=0.5, spread=0.02))
    near, far = batch["points"][:2000], batch["points"][2000:]
    assert batch["sdf"][:2000].abs().mean() < 0.05
    assert far.min() < -0.99 and far.max() > 0.99 and (far.mean(0).abs() < 0.05).all()
    assert true_distances(near).abs().mean() < 0.1


def test_the_processes_shares_make_the_whole_batch(dataset):
    whole, shares = draw(dataset), [draw(dataset, rank=rank, world=2) for rank in range(2)]
    for key in whole:
        assert torch.equal(torch.stack([s[key] for s in shares], 1).flatten(0, 1), whole[key])


def test_the_generator_alone_decides_the_draw(dataset):
    assert torch.equal(draw(dataset, 1)["points"], draw(dataset, 1)["points"])
    assert not torch.equal(draw(dataset, 1)["points"], draw(dataset, 2)["points"])


def test_a_view_that_misses_the_object_needs_tolerance(tmp_path):
    capture = sphere_capture(torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64)))
    masks = capture.masks.clone()
    masks[2] = False
    masks[2, 0, 0] = True
    idr.write(replace(capture, masks=masks), tmp_path / "x")
    scene = dict(capture=str(tmp_path / "x"), test_views=0)
    with pytest.raises(DataError, match="cameras.npz: the silhouettes"):
        HullDistances(scene, resolution=16)
    assert (HullDistances(scene, resolution=16, tolerance=1).grid < 0).any()


def test_masks_are_needed(tmp_path):
    idr.write(replace(sphere_capture(), masks=None), tmp_path / "x")
    with pytest.raises(DataError, match="needs masks"):
        HullDistances(dict(capture=str(tmp_path / "x"), normalization="cameras"))


@pytest.mark.parametrize("wrong", [dict(points=0), dict(near=1.5), dict(spread=-0.1), dict(tolerance=-1)])
def test_numbers_out_of_range_are_refused(scene, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DATASETS.build(dict(type="HullDistances", scene=scene, **wrong))
