"""Spaces of fragments: boxes of voxels, cameras, and the truth in a turned world."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.transforms import RandomPhotometry
from deep3dmap.datasets.videos import Fragments
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.structures.recording import RecordingPart
from tests.rooms_fixture import SPACE, VIEWS


@pytest.fixture(scope="module")
def fragments(small_rooms, prepared_rooms):
    """Makes the data set, with another transform or other arguments of it."""

    def make(name: str = "RandomSpace", prepared: str | None = prepared_rooms, **changes) -> Fragments:
        space = dict(type=name, **(SPACE | changes))
        return Fragments(small_rooms, split="train", size=(48, 64), prepared=prepared, pipeline=[space], **VIEWS)

    return make


@pytest.fixture(scope="module")
def items(fragments) -> list[dict]:
    """The fragments of two sequences in a random space."""
    data = fragments()
    return [data[index] for sequence in data.sequences() for index in sequence]


def test_occupied_voxels_are_near_the_true_surface(items):
    for item in items:
        near, occupied = item["tsdf"][0].abs() < 1, item["occupancy"][0]
        assert near[occupied].float().mean() > max(0.8, 2 * near.float().mean())


def test_a_level_has_half_the_voxels_of_the_finer_one(items):
    shapes = [volume.shape for volume in items[0]["tsdf"]]
    assert shapes == [tuple(side // step for side in SPACE["size"]) for step in (1, 2, 4)]


def test_occupied_voxels_project_into_the_pictures(items):
    item = items[0]
    points = item["occupancy"][0].nonzero() * SPACE["voxel_size"] + item["origin"]
    at = torch.cat([points, torch.ones(len(points), 1)], 1) @ item["projections"][:, 0].transpose(1, 2)
    pixels, (height, width) = at[..., :2] / at[..., 2:3], (48 // 4, 64 // 4)
    inside = (at[..., 2] > 0) & (pixels > -1).all(-1) & (pixels[..., 0] < width) & (pixels[..., 1] < height)
    assert (inside.sum(0) >= 2).float().mean() > 0.9


def between(item: dict, other: dict) -> torch.Tensor:
    """The rotation from one item's middle camera to another's."""
    return item["aligned_camera"][:3, :3] @ other["aligned_camera"][:3, :3].T


def test_fragments_of_a_sequence_are_in_one_space_in_an_epoch_and_in_others_in_the_next(fragments):
    data, still = fragments(), fragments("FragmentSpace")
    first, second = data.sequences()[0][:2]
    data.epoch_seed = 1
    one, two = data[first], data[second]
    data.epoch_seed = 2
    later = data[first]
    torch.testing.assert_close(between(one, two), between(still[first], still[second]), atol=1e-4, rtol=0)
    turned = torch.linalg.inv(one["aligned_camera"])[:3, 3] - torch.linalg.inv(later["aligned_camera"])[:3, 3]
    assert turned.norm() > 0.05
    assert torch.equal(one["images"], later["images"])


def test_without_randomness_the_space_is_the_upright_world(fragments):
    item = fragments("FragmentSpace")[0]
    recording = item["recording"]
    centre = item["upright"] @ torch.from_numpy(recording.poses[0][:, 3]).float()
    assert torch.equal(item["scene_origin"], torch.zeros(3))
    torch.testing.assert_close(item["poses"][0, :3, 3], centre[:3])
    # boxes of a scene share the voxels of the coarsest level
    steps = item["origin"] / (4 * SPACE["voxel_size"])
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)


def test_volumes_that_are_missing_or_have_other_voxels_are_named(fragments):
    with pytest.raises(DataError, match="train_00000.*deep3dmap prepare rgbd"):
        fragments(prepared=None)[0]
    with pytest.raises(DataError, match="train_00000.*--voxel-size 0.1"):
        fragments(voxel_size=0.1)[0]


def test_a_box_that_levels_do_not_divide_is_refused(fragments):
    with pytest.raises(ConfigError, match="24, 24, 20"):
        fragments(size=(24, 24, 20))


def test_a_part_of_a_recording_has_its_frames(fragments):
    whole = fragments().recordings[0]
    part = RecordingPart(whole, [3, 5])
    assert part.names == [whole.names[3], whole.names[5]] and len(part) == 2
    assert np.array_equal(part.image(1), whole.image(5)) and np.array_equal(part.depth(0), whole.depth(3))
    assert np.array_equal(part.poses, whole.poses[[3, 5]])


def test_a_single_recording_is_a_scene_and_several_are_not(small_rooms):
    one = Fragments(dict(small_rooms, count=1), split="train", size=(48, 64), **VIEWS)[0]
    assert one["true_cameras"] is None and one["frames"] == list(range(12)) and len(one["true_mesh"].faces)
    assert "true_cameras" not in Fragments(small_rooms, split="train", size=(48, 64), **VIEWS)[0]


def test_pictures_of_a_fragment_are_changed_alike():
    images = torch.full((3, 3, 20, 30), 120, dtype=torch.uint8)
    images[:, 0] = 60
    np.random.seed(1)
    changed = RandomPhotometry()(dict(images=images))["images"].float()
    assert changed.shape == images.shape and not torch.equal(changed, images.float())
    balance = changed[:, 0].mean((1, 2)) / changed[:, 1].mean((1, 2))
    assert balance.std() < 0.02 < (balance - 0.5).abs().max()
    assert torch.equal(RandomPhotometry(0.0)(dict(images=images))["images"], images)
