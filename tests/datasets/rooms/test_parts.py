"""Surfaces, floor plans, walks, light and textures that rooms are made of."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets.rooms.floor_plan import FloorPlan
from deep3dmap.datasets.rooms.furniture import EXTRAS, KINDS
from deep3dmap.datasets.rooms.lamps import Lamp, irradiance
from deep3dmap.datasets.rooms.looks import Looks
from deep3dmap.datasets.rooms.rendering import LEVELS, pyramids, sample
from deep3dmap.datasets.rooms.surfaces import Material, blob, box, joined, rectangle, turned
from deep3dmap.datasets.rooms.textures import SIZE
from deep3dmap.datasets.rooms.walk import walk

PLAIN = Material(0)
PIECES = sorted({make for first, middle in KINDS.values() for make in (*first, middle or first[0])} | set(EXTRAS),
                key=lambda make: make.__name__)  # yapf: disable


def meshed(surface) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


@pytest.mark.parametrize("surface, volume, share", [
    (joined(box((1, 2, 3), (4, 5, 6), PLAIN)), 6.0, 1e-9),
    (blob((1, 1.4, 0.8), (0.1, 0.2, 0.3), PLAIN), np.pi / 6 * 1.12, 0.12),
    (turned([(0, 1.0), (0.5, 1.0), (0.5, 0), (0, 0)], (3, 2, 1), PLAIN, 60), np.pi / 4, 0.02),
], ids=["box", "blob", "turned"])  # yapf: disable
def test_solids_are_closed_with_their_outside_outside(surface, volume, share):
    assert meshed(surface).volume == pytest.approx(volume, rel=share)


@pytest.mark.parametrize("make", PIECES, ids=lambda make: make.__name__)
def test_furniture_stays_within_its_size_and_has_normals_of_its_faces(make):
    random = np.random.default_rng(5)
    for _ in range(4):
        piece = make(Looks.drawn(random), random)
        surface = joined(piece.parts)
        mesh = meshed(surface)
        low, high = mesh.bounds
        assert low[2] >= -1e-9 and np.abs([low[:2], high[:2]]).max(0) == pytest.approx(np.array(piece.size[:2]) / 2, abs=0.12)
        aligned = (surface.normals[surface.faces].mean(1) * mesh.face_normals).sum(1)
        assert np.quantile(aligned, 0.02) > 0.5
        np.testing.assert_allclose(np.linalg.norm(surface.normals[np.unique(surface.faces)], axis=1), 1, atol=1e-6)


def test_things_turn_about_the_vertical_axis():
    part = rectangle((1, 0, 0), (1, 0, 0), (0, 0, 1), PLAIN).placed((0, 0, 5), np.pi / 2)
    np.testing.assert_allclose(meshed(part).bounds, [[0, 1, 5], [0, 2, 6]], atol=1e-12)
    np.testing.assert_allclose(part.normals, np.tile([1.0, 0, 0], (len(part.normals), 1)), atol=1e-9)


def test_nothing_stands_in_another_thing_or_outside_or_where_a_high_one_hides_the_window():
    plan = FloorPlan((5.0, 4.0), kept_free=[(0.0, 0.0, 1.0, 1.0)], windows=[((4.0, 0.0, 5.0, 1.0), 0.9)])
    assert plan.take((2.0, 2.0, 3.0, 3.0), 1.0)
    refused = [(2.5, 2.5, 3.5, 3.5), (4.5, 2.0, 5.1, 3.0), (0.5, 0.5, 1.5, 0.9), (4.0, 0.2, 4.5, 0.8)]
    assert not any(plan.take(area, 1.0) for area in refused) and len(plan.taken) == 1
    assert plan.take(refused[-1], 0.8)


def test_enough_of_the_floor_is_left_to_walk_on():
    plan = FloorPlan((3.0, 3.0))
    assert not plan.take((0.5, 0.5, 2.5, 2.5), 1.0) and plan.take((0.0, 0.0, 3.0, 0.6), 1.0)


def test_clearance_is_the_distance_to_the_nearest_thing():
    plan = FloorPlan((5.0, 4.0), taken=[(2.0, 2.0, 3.0, 3.0)])
    points = np.array([[0.3, 2.0], [1.0, 1.0], [3.5, 2.5], [2.5, 2.5]])
    np.testing.assert_allclose(plan.clearance(points), [0.3, 1.0, 0.5, 0.0], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_goes_around_what_stands_there(seed):
    plan = FloorPlan((5.0, 5.0), taken=[(1.2, 1.2, 3.8, 3.8)])
    poses = walk(plan, 900, np.random.default_rng(seed))
    assert plan.clearance(poses[:, :2, 3]).min() >= 0.25
    assert np.ptp(poses[:, :2, 3], 0).max() > 2.0


def test_light_falls_with_the_squared_distance_and_not_into_shadows():
    floor = rectangle((-3, -3, 0), (6, 0, 0), (0, 6, 0), PLAIN)
    shade, lamp = box((0.6, 0.6, 0.02), (0.8, 0, 1.0), PLAIN), box((0.02, 0.02, 0.02), (0, 0, 1.99), Material(0, glow=1.0))
    surface = joined([floor, *shade, *lamp])
    lamps = (Lamp((0.0, 0.0, 2.0), 1.0, (1.0, 1.0, 1.0), 0.0), )
    light = irradiance(surface, lamps, np.zeros((len(surface.faces), 3)), np.random.default_rng(0))[:len(floor.vertices), 0]
    x, y, _ = floor.vertices.T
    shadow = (np.abs(x - 1.6) < 0.55) & (np.abs(y) < 0.55)
    clear = (np.abs(x - 1.6) > 0.7) | (np.abs(y) > 0.7)
    assert shadow.any() and (light[shadow] == 0).all()
    squared = x**2 + y**2 + 4
    expected = 2 / np.sqrt(squared) / (squared + 0.15)
    np.testing.assert_allclose(light[clear] / light[clear].max(), expected[clear] / expected[clear].max(), rtol=0.01)


def test_a_coloured_wall_tints_the_floor_before_it():
    floor = rectangle((0, -2, 0), (4, 0, 0), (0, 4, 0), PLAIN)
    wall = rectangle((0, -2, 0), (0, 4, 0), (0, 0, 2), PLAIN)
    surface = joined([floor, wall, *box((0.02, 0.02, 0.02), (1.5, 0, 1.99), Material(0, glow=1.0))])
    colors = np.tile([0.9, 0.1, 0.1], (len(surface.faces), 1))
    colors[:len(floor.faces)] = 0.5
    lamps = (Lamp((1.5, 0.0, 2.0), 1.0, (1.0, 1.0, 1.0), 0.0), )
    light = irradiance(surface, lamps, colors, np.random.default_rng(0))[:len(floor.vertices)]
    redness = light[:, 0] / light[:, 1]
    near, far = floor.vertices[:, 0] < 0.5, floor.vertices[:, 0] > 3.5
    assert redness[near].mean() > 1.1 and redness[far].mean() < redness[near].mean()


def test_textures_repeat_and_are_averaged_by_far_pixels():
    images = [np.random.default_rng(k).random((SIZE, SIZE, 3)) for k in range(2)]
    pyramid = pyramids(images)
    texel = (torch.tensor([[3, 7], [250, 0]]) + 0.5) / SIZE
    near = sample(pyramid, torch.tensor([0, 1]), texel + torch.tensor([[2.0, -3.0]]), torch.tensor([0.2, 1.0]))
    np.testing.assert_allclose(near, [images[0][7, 3], images[1][0, 250]], atol=1e-4)
    between = sample(pyramid, torch.tensor([0]), torch.tensor([[0.0, 0.5 / SIZE]]), torch.tensor([1.0]))
    np.testing.assert_allclose(between[0], (images[0][0, 0] + images[0][0, -1]) / 2, atol=1e-4)
    far = sample(pyramid, torch.tensor([1]), torch.tensor([[0.3, 0.6]]), torch.tensor([2.0**(LEVELS + 3)]))
    np.testing.assert_allclose(far[0], images[1].mean((0, 1)), atol=0.05)
