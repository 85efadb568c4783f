"""Baselines of rooms: boxes in rooms whose walls are known."""

import numpy as np
import pytest
import trimesh

from tests.evaluation.test_rooms import WALL, Wall
from tools.room_baselines import box_around_cameras, box_around_surface, fused, mean_depth

TURN = trimesh.transformations.euler_matrix(0.3, -0.8, 1.9)[:3, :3]  # of the world, whose z points up before it


def test_the_box_around_a_turned_room_is_its_floor_and_walls_seen_from_inside():
    room = trimesh.creation.box((4.0, 3.0, 2.5))
    points = trimesh.sample.sample_surface(room, 20_000, seed=0)[0]
    box = box_around_surface(points @ TURN.T, TURN[:, 2])
    assert box.area == pytest.approx(4 * 3 + 2 * (4 + 3) * 2.5, rel=0.02)
    inward = -(box.triangles_center * box.face_normals).sum(1)
    assert sorted(inward) == pytest.approx([1.25] * 2 + [1.5] * 4 + [2.0] * 4, abs=0.05)
    assert (box.face_normals @ TURN[:, 2]).min() > -0.1  # no ceiling


def test_the_box_around_cameras_holds_them_above_its_floor():
    recording = Wall(lost=[0])
    recording.up = np.array([0.0, -1.0, 0.0])
    box = box_around_cameras(recording)
    assert box.bounds[1, 1] == pytest.approx(1.5) and box.bounds[:, 0] == pytest.approx([-1.0, 1.2])
    assert box.bounds[:, 2] == pytest.approx([-1.0, 1.0]) and box.bounds[0, 1] == pytest.approx(-1.0)


def test_a_walls_mean_depth_is_the_wall():
    vertices = fused(Wall(), mean_depth).vertices
    assert len(vertices) and vertices[:, 2] == pytest.approx(WALL, abs=1e-4)
