"""``deep3dmap prepare room``: a synthetic room as a recording in files."""

import cv2
import numpy as np
import pytest

from deep3dmap.datasets.rooms import SyntheticRooms
from deep3dmap.io.mesh_files import load_mesh
from tests.broken import refusal, run


def test_a_room_is_written_as_pictures_depth_maps_and_poses(tmp_path, capsys):
    folder, options = tmp_path / "room", ("--frames", 3, "--stride", 4, "--width", 64, "--height", 48, "--seed", 2)
    assert run("prepare", "room", folder, "--room", "validation_00001", *options) == 0
    assert str(folder) in capsys.readouterr().out
    room = SyntheticRooms("validation", frames=3, stride=4, size=(48, 64), seed=2)[1]
    assert len(list(folder.iterdir())) == 3 * 3 + 2
    np.testing.assert_allclose(np.loadtxt(folder / "camera-intrinsics.txt"), room.intrinsics[0])
    for k, name in enumerate(("frame-000000", "frame-000004", "frame-000008")):
        np.testing.assert_allclose(np.loadtxt(folder / f"{name}.pose.txt"), room.poses[k], atol=1e-9)
        depth = cv2.imread(str(folder / f"{name}.depth.png"), cv2.IMREAD_UNCHANGED)
        assert depth.dtype == np.uint16
        np.testing.assert_allclose(depth / 1000, room.depth(k), atol=0.00051)
        picture = cv2.imread(str(folder / f"{name}.color.jpg"))[..., ::-1]
        assert np.abs(picture - room.image(k).astype(float)).mean() < 6
    np.testing.assert_allclose(load_mesh(folder / "true_mesh.ply").bounds, room.true_mesh.bounds, atol=1e-4)


@pytest.mark.parametrize("options, word", [(("--room", "kitchen"), "kitchen"), (("--room", "tets_00001"), "test")])
def test_a_room_that_is_none_is_refused(options, word, tmp_path, capsys):
    assert word in refusal(capsys, "prepare", "room", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_refused_before_anything_is_rendered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("deep3dmap.apis.prepare.rooms.SyntheticRooms", lambda *_: pytest.fail("rendered"))
    (tmp_path / "mine.txt").write_text("mine")
    assert str(tmp_path) in refusal(capsys, "prepare", "room", tmp_path)
