"""What ``deep3dmap check`` says of data that are no capture."""

import numpy as np
import pytest
from PIL import Image

from deep3dmap.apis.check import check_for_methods
from tests.datasets.videos import made as files


@pytest.mark.parametrize("name", ["", "face.png"])
def test_pictures_without_cameras_are_pointed_to_the_methods_that_take_them(tmp_path, name):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "face.png")
    assert f"reconstruct {tmp_path / name} --method prnet" in check_for_methods(tmp_path / name).to_text()


def test_data_that_are_no_pictures_are_not(tmp_path):
    (tmp_path / "notes.txt").touch()
    assert all("prnet" not in check_for_methods(each).to_text() for each in (tmp_path, tmp_path / "notes.txt"))


def test_a_recording_is_reported_with_its_damaged_frames(tmp_path):
    room = files.seven_scenes(tmp_path / "room", files.walk(16, step=0.12, nod=0.3))
    (room / "frame-000000.color.png").write_bytes(b"cut short")
    (room / "frame-000020.depth.png").write_bytes(b"cut short")
    report = check_for_methods(room)
    assert report.ok and report.facts["layout"] == "7-Scenes" and report.facts["frames"] == "16, 16 with a pose"
    assert report.facts["pictures"].startswith("15 of 48x36") and report.facts["depth maps"].startswith("15 of 48x36")
    assert [file in warning for file, warning in zip(("000000.color", "000020.depth"), report.warnings)] == [True] * 2


def test_a_recording_that_can_t_be_used_is_told(tmp_path):
    room = files.seven_scenes(tmp_path / "room", files.walk())
    for file in room.glob("*.pose.txt"):
        file.unlink()
    report = check_for_methods(room)
    assert not report.ok and "none of its 12 frames has a pose" in report.to_text()


@pytest.mark.parametrize("name", ["", "clip.avi"])
def test_a_video_has_no_poses_and_says_how_to_come_by_them(tmp_path, name):
    files.save_video(tmp_path / "clip.avi", files.walk(2).images)
    report = check_for_methods(tmp_path / name)
    assert not report.ok and "no camera poses" in report.to_text() and "colmap" in report.to_text()
