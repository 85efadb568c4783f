"""Synthetic rooms as recordings: what their files, poses and depth maps say is what the true mesh is."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.rooms import SyntheticRooms, dataset
from deep3dmap.errors import ConfigError
from deep3dmap.geometry.point_mesh import points_to_mesh
from deep3dmap.registry import DATASETS
from tests.datasets.rooms.conftest import SMALL, rays_of


def test_a_room_depends_on_its_number_alone(rooms, room, frames):
    dataset._pictures.cache_clear()
    again = SyntheticRooms("test", **SMALL)[0]
    assert np.array_equal(again.poses, room.poses)
    assert np.array_equal(again.image(5), frames[5][0]) and np.array_equal(again.depth(5), frames[5][1])
    assert not np.allclose(rooms[1].poses, room.poses, atol=0.1)


def test_no_room_is_in_two_splits(room):
    for options in (dict(split="train"), dict(split="test", seed=1)):
        other = SyntheticRooms(**options, **SMALL)[0]
        assert not np.allclose(other.true_mesh.bounds, room.true_mesh.bounds, atol=0.01)


def test_a_config_names_them():
    rooms = DATASETS.build(dict(type="SyntheticRooms", split="validation", count=1))
    assert [room.name for room in rooms] == ["validation_00000"]
    assert len(rooms[0]) == 100 and rooms[-1] is rooms[0]


def test_depth_is_where_rays_meet_the_true_mesh(frames, hits):
    for (_, depth), hit in zip(frames, hits):
        difference = np.abs(depth.ravel() - hit.distance.numpy())
        assert (difference < 2e-4).mean() > 0.995  # rays along an edge may meet either side


def test_no_ray_leaves_the_room(frames):
    assert all((depth > 0.1).all() and np.isfinite(depth).all() for _, depth in frames)


def test_normals_of_all_that_is_seen_point_to_the_camera(room, hits):
    normals = room.true_mesh.face_normals
    for k, hit in enumerate(hits):
        towards = (normals[hit.face.numpy()] * rays_of(room, k, SMALL["size"])[1]).sum(1)
        assert (towards < 1e-6).mean() > 0.998  # rays may slip through an edge


def test_the_floor_is_at_zero_and_cameras_are_upright_at_the_height_of_a_hand(room):
    assert room.true_mesh.bounds[0, 2] == room.floor == 0
    assert (room.poses[:, 2, 3] >= 1.2).all() and (room.poses[:, 2, 3] <= 1.8).all()
    assert (-room.poses[:, :3, 1] @ room.up > 0.7).all()  # the picture's upward axis


def test_poses_are_rigid(room):
    rotations = room.poses[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (len(room), 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)
    assert (room.poses[:, 3] == [0, 0, 0, 1]).all()


def test_cameras_keep_their_distance_from_the_surface(rooms):
    for room in rooms:
        mesh = room.true_mesh
        squared = points_to_mesh(torch.tensor(room.poses[:, :3, 3]), torch.tensor(mesh.vertices), torch.tensor(mesh.faces))
        assert squared.min() > 0.2**2


def test_consecutive_frames_see_the_same_surface(room, frames):
    for k in range(len(room) - 1):
        origins, directions = rays_of(room, k, SMALL["size"])
        points = origins + directions * frames[k][1].reshape(-1, 1)
        seen = (points - room.poses[k + 1, :3, 3]) @ room.poses[k + 1, :3, :3]
        column, row = np.floor(seen[:, :2] / seen[:, 2:] @ room.intrinsics[k][:2, :2] + room.intrinsics[k][:2, 2]).T
        inside = (seen[:, 2] > 0) & (column >= 0) & (column < 64) & (row >= 0) & (row < 48)
        depth = frames[k + 1][1][row[inside].astype(int), column[inside].astype(int)]
        assert (np.abs(depth - seen[inside, 2]) < 0.1).sum() > 0.6 * len(points)


def test_frames_in_between_are_those_of_a_smooth_video(room):
    video = SyntheticRooms("test", frames=96, stride=1, size=SMALL["size"])[0]
    np.testing.assert_array_equal(video.poses[::8], room.poses)
    assert [video.names[k] for k in range(0, 96, 8)] == room.names
    steps = np.linalg.norm(np.diff(video.poses[:, :3, 3], axis=0), axis=1)
    turns = np.linalg.inv(video.poses[:-1, :3, :3]) @ video.poses[1:, :3, :3]
    angles = np.degrees(np.arccos(((np.trace(turns, axis1=1, axis2=2) - 1) / 2).clip(-1, 1)))
    assert steps.max() < 0.04 and steps.mean() > 0.005 and angles.max() < 6


def test_pictures_show_the_surface_in_varied_colours(frames):
    pictures = np.stack([image for image, _ in frames])
    assert pictures.shape == (12, 48, 64, 3) and 60 < pictures.mean() < 220 and pictures.std() > 15


def test_a_cached_frame_is_the_rendered_one(room, frames, tmp_path, monkeypatch):

    def cached():
        return SyntheticRooms("test", cache=str(tmp_path), **SMALL)[0]

    first = cached()
    assert np.array_equal(first.image(2), frames[2][0]) and np.array_equal(first.depth(2), frames[2][1])
    monkeypatch.setattr(dataset, "_pictures", lambda seed: pytest.fail("rendered again"))
    again = cached()
    assert np.array_equal(again.poses, room.poses) and np.array_equal(again.intrinsics, room.intrinsics)
    assert np.array_equal(again.image(2), frames[2][0]) and np.array_equal(again.depth(2), frames[2][1])


def test_a_sensors_depth_is_noisy_further_away_and_lost_at_edges(room, frames):
    sensor = SyntheticRooms("test", depth_noise=True, **SMALL)[0]
    measured = np.stack([sensor.depth(k) for k in range(len(sensor))])
    exact = np.stack([depth for _, depth in frames])
    assert np.array_equal(sensor.depth(3), measured[3]) and np.array_equal(sensor.image(3), frames[3][0])
    assert 0.5 < (measured > 0).mean() < 1
    error = np.abs(measured - exact)
    near, far = (measured > 0) & (exact < 1.5), (measured > 0) & (exact > 2.5)
    assert 0.0005 < error[near].mean() < 0.005 and error[far].mean() > 2 * error[near].mean()
    across = np.abs(np.diff(exact, axis=2))
    assert (measured[:, :, 1:][across > 0.5] == 0).all() and (across > 0.5).any()


@pytest.mark.parametrize("options, word", [(dict(split="tain"), "train"), (dict(size=(240, )), "size"),
                                           (dict(size=(4, 4)), "size")])
def test_options_that_make_no_sense_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        SyntheticRooms(**options)
