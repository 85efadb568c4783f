"""What is prepared of a recording: volumes against distances that are known, and what happens to what is there already."""

import json

import numpy as np
import pytest

from deep3dmap.apis.prepare.rgbd import prepare_rgbd
from deep3dmap.datasets.videos import Fragments
from deep3dmap.engine.config import find_config
from deep3dmap.errors import ConfigError, DataError
from tests.datasets.videos import made as files
from tests.datasets.videos.made import LOWER, UPPER, walk

OPTIONS = dict(views=5, voxel_size=0.08, levels=2, max_depth=6.0, processes=1, log=lambda line: None)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording, and what is prepared of it."""
    folder = tmp_path_factory.mktemp("videos")
    room = files.scannet(folder / "room", walk(16, (60, 80), step=0.12))
    return room, folder / "out", prepare_rgbd([room], folder / "out", **OPTIONS)


def test_volumes_hold_distances_to_the_walls(recorded):
    room, out, _ = recorded
    item = Fragments(str(room), views=5, prepared=str(out))[1]
    arrays = np.load(out / "room.npz")
    for level, tsdf in enumerate(item["tsdf"]):
        size = 0.08 * 2**level
        centres = [np.arange(n) * size + start for n, start in zip(tsdf.shape, item["origin"].tolist())]
        points = np.stack(np.meshgrid(*centres, indexing="ij"), -1)
        inner = ((points > LOWER + 0.5) & (points < UPPER - 0.5)).all(-1)  # away from edges of the room
        beside = inner.copy()  # and those beside its far wall, whose normal is y
        beside[:] = ((points > LOWER + 0.7) &
                     (points < UPPER - 0.7))[..., [0, 2]].all(-1) & (np.abs(points[..., 1] - UPPER[1]) < size)
        seen = arrays[f"weight_{level}"] > 4
        assert (tsdf.numpy()[inner & seen] == 1).all() and (beside & seen).sum() > 20
        distance = (UPPER[1] - points[..., 1]) / (3 * size)
        error = np.abs(tsdf.numpy() - distance)[beside & seen]
        assert np.median(error) < 0.1 and (np.sign(tsdf.numpy()) == np.sign(distance))[beside & seen &
                                                                                       (np.abs(distance) > 0.1)].all()


def test_levels_begin_at_one_point(recorded):
    room, out, _ = recorded
    item = Fragments(str(room), views=5, prepared=str(out))[0]
    fine, coarse = item["tsdf"]
    assert tuple(fine.shape) == tuple(2 * n for n in coarse.shape) and item["voxel_size"] == 0.08


def test_the_file_has_the_fragments_of_the_data_set(recorded):
    room, out, report = recorded
    dataset, arrays = Fragments(str(room), views=5), np.load(out / "room.npz")
    assert arrays["fragments"].tolist() == [window for *_, window in dataset.windows]
    assert report["room"]["fragments"] == len(dataset) and report["room"]["key_frames"] == 16
    assert json.loads((out / "report.json").read_text())["recordings"] == report


def test_a_finished_recording_is_kept(recorded):
    room, out, _ = recorded
    before = (out / "room.npz").stat().st_mtime_ns
    report = prepare_rgbd([room], out, **OPTIONS)
    assert report["room"]["kept"] and (out / "room.npz").stat().st_mtime_ns == before


def test_other_options_are_refused_for_what_is_there_unless_it_is_to_be_replaced(recorded, tmp_path):
    room, _, _ = recorded
    prepare_rgbd([room], tmp_path, **OPTIONS)
    changed = OPTIONS | dict(voxel_size=0.16)
    report = prepare_rgbd([room], tmp_path, **changed)
    assert report["room"]["status"] == "refused" and "voxel_size: 0.08, now 0.16" in report["room"]["reason"]
    assert prepare_rgbd([room], tmp_path, **changed, overwrite=True)["room"]["status"] == "done"
    assert float(np.load(tmp_path / "room.npz")["voxel_size"]) == 0.16


def test_a_recording_that_cannot_be_prepared_stops_no_other(recorded, tmp_path):
    room, _, _ = recorded
    blind = files.transforms(tmp_path / "blind", walk(16, step=0.12), depth=False)
    report = prepare_rgbd([blind, room], tmp_path / "out", **OPTIONS)
    assert "no depth maps" in report["blind"]["reason"] and report["room"]["status"] == "done"


def test_a_volume_that_is_too_large_is_refused(recorded, tmp_path):
    room, _, _ = recorded
    report = prepare_rgbd([room], tmp_path, **OPTIONS | dict(voxel_size=0.0001))
    assert "voxels" in report["room"]["reason"] and not (tmp_path / "room.npz").exists()


def test_what_is_not_prepared_is_named(recorded, tmp_path):
    room, _, _ = recorded
    with pytest.raises(DataError, match="room.npz.*prepare rgbd"):
        Fragments(str(room), views=5, prepared=str(tmp_path))[0]


def test_two_recordings_of_one_name_are_refused(recorded, tmp_path):
    room, _, _ = recorded
    with pytest.raises(DataError, match="room: 2 recordings"):
        prepare_rgbd([room, room], tmp_path, **OPTIONS)


def test_a_config_stands_for_its_training_data(recorded, tmp_path):
    room, *_ = recorded
    config = tmp_path / "config.py"
    rooms = dict(type="SyntheticRooms", count=1, frames=12, size=(48, 64))
    data = dict(recording=[rooms, str(room)], split="train", test_share=0.25)
    config.write_text(f"_base_ = '{find_config('neuralrecon/small.py').resolve()}'\ntrain_dataloader = dict(dataset={data})\n")
    report = prepare_rgbd([config], tmp_path / "out", **OPTIONS)
    assert {name: entry["frames"] for name, entry in report.items()} == dict(train_00000=12, room=12)
    trained = Fragments([rooms, str(room)], "train", 0.25, views=5, prepared=str(tmp_path / "out"))
    assert {trained[k]["name"] for k in range(len(trained))} == {"train_00000", "room"}


def test_a_config_without_recordings_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="small.py.*recording"):
        prepare_rgbd(["configs/prnet/small.py"], tmp_path / "out", **OPTIONS)
