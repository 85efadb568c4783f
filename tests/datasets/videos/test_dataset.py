"""Fragments as items: what is in them, which frames belong to a split, and volumes that were prepared."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.videos import Fragments, load_recording
from deep3dmap.datasets.videos.frames import depth_at
from deep3dmap.datasets.videos.sources import frames_of, upright_from_world
from deep3dmap.engine.batches import build_loader
from deep3dmap.errors import ConfigError, DataError
from deep3dmap.registry import DATASETS
from tests.datasets.videos import made as files
from tests.datasets.videos.made import depth_in_room, walk


@pytest.fixture(scope="module")
def long():
    """Sixteen frames, each of which is a key frame."""
    return walk(16, step=0.12)


def test_an_item_holds_the_frames_of_its_window(long, tmp_path):
    folder = str(files.scannet(tmp_path / "room", long))
    item = Fragments(folder, views=3, size=(36, 48))[2]
    assert (item["name"], item["fragment"]) == ("room", 2)
    torch.testing.assert_close(item["images"], torch.from_numpy(long.images[6:9]).permute(0, 3, 1, 2))
    np.testing.assert_allclose(item["poses"], long.poses[6:9], atol=1e-5)  # z is up, and the floor at 0 already
    np.testing.assert_allclose(item["intrinsics"][1], long.K, atol=1e-4)
    np.testing.assert_allclose(item["depths"][1, ::2, ::2], long.depths[7, ::2, ::2], atol=0.0006)
    assert {
        key: tuple(value.shape)
        for key, value in item.items() if torch.is_tensor(value)
    } == dict(images=(3, 3, 36, 48), intrinsics=(3, 3, 3), poses=(3, 4, 4), upright=(4, 4), depths=(3, 36, 48))


def test_windows_are_in_order_and_flagged_at_the_ends_of_each_recording(long, tmp_path):
    paths = [str(files.seven_scenes(tmp_path / name, long)) for name in "ab"]
    dataset = Fragments(paths, views=5)
    assert dataset.sequences() == [range(0, 3), range(3, 6)]
    items = [dataset[k] for k in range(6)]
    assert [item["name"] for item in items] == ["a"] * 3 + ["b"] * 3
    assert [item["begins"] for item in items] == [True, False, False] * 2
    assert [item["ends"] for item in items] == [False, False, True] * 2


def test_a_folder_of_recordings_is_all_of_them(long, tmp_path):
    for name in ("seq-01", "seq-02"):
        files.seven_scenes(tmp_path / "stairs" / name, long)
    dataset = Fragments(str(tmp_path / "stairs"), views=5)
    assert [recording.name for recording in dataset.recordings] == ["stairs_seq-01", "stairs_seq-02"]


def test_recordings_of_one_name_are_refused(long, tmp_path):
    paths = [str(files.seven_scenes(tmp_path / scene / "walk", long)) for scene in "ab"]
    with pytest.raises(DataError, match="'walk'.*a/walk.*b/walk"):
        Fragments(paths)


def test_splits_share_no_frame_and_lose_none():
    for count, share in ((10, 0.2), (7, 0.5), (3, 0.0)):
        train, test = frames_of(count, "train", share), frames_of(count, "test", share)
        assert [*train, *test] == [*range(count)]
    assert frames_of(10, "test", 0.2) == range(8, 10) == frames_of(10, "validation", 0.2)


def test_a_split_has_its_frames_only(long, tmp_path):
    folder = str(files.seven_scenes(tmp_path, long))
    for split, own in dict(train=range(8), test=range(8, 16)).items():
        data = Fragments(folder, split, 0.5, views=4)
        assert data.recordings[0].frames == [*own] and sum((window for *_, window in data.windows), []) == [*range(8)]
        np.testing.assert_allclose(data[0]["poses"], (data[0]["upright"].numpy() @ long.poses)[own[0]:own[4]], atol=1e-5)


def test_a_recording_without_a_fragment_is_noted_unless_it_is_the_only_one(long, tmp_path):
    paths = [str(files.seven_scenes(tmp_path / "long", long)), str(files.seven_scenes(tmp_path / "short", walk(3, step=0.12)))]
    assert "short: 3 key frames" in Fragments(paths, views=5).notes[0]
    with pytest.raises(DataError, match="short: 3 key frames"):
        Fragments(paths[1], views=5)


def test_recordings_without_depth_maps_have_none_in_items(long, tmp_path):
    assert "depths" not in Fragments(str(files.transforms(tmp_path, long, depth=False)), views=5)[0]


def test_workers_read_items(long, tmp_path):
    folder = str(files.sens(tmp_path / "a.sens", long))
    loader = build_loader(dict(dataset=dict(type="Fragments", recording=folder, views=5, size=(24, 32)), num_workers=1,
                               collate_fn=dict(type="pseudo_collate")))  # yapf: disable
    loader.batch_sampler.begin(0, 0)
    batches = list(loader)
    assert batches[0]["images"][0].shape == (5, 3, 24, 32) and [b["begins"] for b in batches] == [[True], [False], [False]]


def test_a_registered_source_gets_the_split(long, tmp_path):
    asked = []

    class Walks(list):
        """Recordings of a made room."""

        def __init__(self, split, count):
            asked.append(split)
            super().__init__(load_recording(files.tum(tmp_path / f"{split}_{k}", long)) for k in range(count))

    DATASETS.register_module(name="Walks", module=Walks, force=True)
    try:
        dataset = Fragments(dict(type="Walks", count=2), split="validation", views=5)
    finally:
        DATASETS.module_dict.pop("Walks")
    assert asked == ["validation"] and len(dataset.sequences()) == 2 and dataset.windows[2][2] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("size", [(480, ), (0, 640)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ConfigError, match="height and width"):
        Fragments("anything", size=size)


def test_a_resized_item_sees_the_room_with_its_intrinsics(long, tmp_path):
    item = Fragments(str(files.scannet(tmp_path, long)), views=5, size=(24, 36))[1]
    v, u = np.mgrid[:24, :36] + 0.5
    for K, pose, depth in zip(*(item[key].double().numpy() for key in ("intrinsics", "poses", "depths"))):
        rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(K).T
        error = np.abs(depth - depth_in_room(pose, rays))[depth > 0]
        assert error.size > 800 and np.median(error) < 0.03 and np.quantile(error, 0.95) < 0.2


def test_depth_is_looked_up_at_the_pixels_of_the_picture():
    depth = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    K = np.array([[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]])
    np.testing.assert_array_equal(depth_at(depth, K, K, (3, 4)), depth)
    double = np.diag([2.0, 2, 1]) @ K
    np.testing.assert_array_equal(depth_at(depth, K, double, (6, 8)), depth.repeat(2, 0).repeat(2, 1))
    moved = K + [[0, 0, 1.0], [0, 0, 0], [0, 0, 0]]  # the picture reaches one pixel further left
    np.testing.assert_array_equal(depth_at(depth, K, moved, (3, 4)), np.pad(depth[:, :3], ((0, 0), (1, 0))))


def test_the_upright_world_has_z_up_and_cameras_at_the_height_of_people(long, tmp_path):
    turn = np.eye(4)
    turn[:3, :3] = files.Rotation.from_euler("xyz", [0.4, 1.1, -2]).as_matrix()
    for world in (turn, np.diag([1.0, -1, -1, 1])):
        recording = load_recording(files.seven_scenes(tmp_path / str(world[0, 0]), long.turned(world)))
        recording.up = world[:3, 2]
        upright = upright_from_world(recording)
        np.testing.assert_allclose((upright @ world)[2, :3], [0, 0, 1], atol=1e-9)
        np.testing.assert_allclose(upright[:3, :3] @ upright[:3, :3].T, np.eye(3), atol=1e-9)
        assert abs((upright @ recording.poses)[:, 2, 3].mean() - 1.5) < 1e-9 and np.linalg.det(upright) > 0


def test_a_small_recording_comes_several_times_each_from_a_later_frame(long, tmp_path):
    paths = [str(files.scannet(tmp_path / name, long)) for name in ("large", "small")]
    dataset = Fragments(paths, views=5, repeat=dict(small=3))
    assert [frames[0] for _, _, frames in dataset.windows] == [0, 5, 10, 0, 5, 10, 1, 6, 11, 2, 7]
    assert dataset.sequences() == [range(0, 3), range(3, 6), range(6, 9), range(9, 11)]
    later = dataset[9]
    assert (later["name"], later["begins"], later["ends"]) == ("small", True, False)
    np.testing.assert_allclose(later["poses"], long.poses[2:7], atol=1e-5)


def test_a_repeated_recording_must_be_there(long, tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        Fragments(str(files.seven_scenes(tmp_path / "room", long)), views=5, repeat=dict(nowhere=2))


def test_a_folder_of_volumes_that_is_missing_is_told_with_the_command_that_makes_it(long, tmp_path):
    with pytest.raises(DataError, match="(?s)data/nowhere.*prepare rgbd"):
        Fragments(str(files.scannet(tmp_path / "room", long)), views=5, prepared="data/nowhere")
