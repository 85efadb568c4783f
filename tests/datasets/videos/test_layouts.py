"""Every layout's recording comes back as it was made: names' order, poses, calibration, pictures, depth, direction up."""

import cv2
import numpy as np
import pytest

from deep3dmap.datasets import generate_capture
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.datasets.videos import find_recordings, load_recording, tum
from deep3dmap.datasets.videos.files import estimated_up, pinhole
from deep3dmap.errors import MissingDependencyError
from tests.datasets.videos import made as files
from tests.datasets.videos.made import Z_UP_TO_Y_UP, Made, half


def assert_same(recording, made: Made, depth_K: np.ndarray | None, step: int = 1, tolerance: float = 0) -> None:
    assert len(recording) == len(made.poses)
    np.testing.assert_allclose(recording.poses, made.poses, atol=1e-6)
    np.testing.assert_allclose(recording.intrinsics, np.broadcast_to(made.K, recording.intrinsics.shape), atol=1e-5)
    for k in (0, len(recording) - 1, 3):
        assert np.abs(recording.image(k).astype(int) - made.images[k]).mean() <= tolerance
    if depth_K is None:
        assert recording.depth_intrinsics is None
        return
    np.testing.assert_allclose(recording.depth_intrinsics, np.broadcast_to(depth_K, recording.intrinsics.shape), atol=1e-5)
    np.testing.assert_allclose(recording.depth(5), made.depths[5, ::step, ::step], atol=0.0006)


def test_seven_scenes(made, tmp_path):
    recording = load_recording(files.seven_scenes(tmp_path / "kitchen", made))
    assert_same(recording, made, made.K)
    assert (recording.name, recording.names[:2]) == ("kitchen", ["frame-000000", "frame-000004"])


def test_seven_scenes_pictures_are_the_colour_cameras_and_depth_maps_carried_over_to_it(tmp_path):
    made = files.walk(2, (480, 640))
    folder = files.seven_scenes(tmp_path / "seq-01", made)
    (folder / "camera-intrinsics.txt").unlink()
    steps = np.full((480, 640), 2000)
    steps[:, 320:] = 1000  # a nearer wall on the right of the depth camera's axis
    files.save_depth(folder / "frame-000000.depth.png", steps, 1)
    recording = load_recording(folder)
    for K in (recording.intrinsics, recording.depth_intrinsics):
        np.testing.assert_array_equal(K[0], [[525, 0, 320], [0, 525, 240], [0, 0, 1]])
    np.testing.assert_allclose(recording.poses[1] @ [-0.025, 0, 0, 1], made.poses[1, :, 3].tolist(), atol=1e-6)
    # the edge is 25 mm to the left of the colour camera, at 1 m: 525 * 0.025 = 13.1 pixels
    inner = recording.depth(0)[60:420, 60:580]
    assert (inner[:, :305 - 60] == 2).all() and (inner[:, 308 - 60:] == 1).all()
    assert not recording.depth(0)[:, -20:].any()  # it sees more to its right


def test_unknown_depth_is_zero_in_either_spelling(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    steps = np.round(made.depths[0] * 1000)
    steps[:5], steps[5:9] = 0, 65535
    files.save_depth(folder / "frame-000000.depth.png", steps, 1)
    depth = load_recording(folder).depth(0)
    assert not depth[:9].any() and depth[9:].all()


def test_scannet(made, tmp_path):
    recording = load_recording(files.scannet(tmp_path / "scene0000_00", made))
    assert_same(recording, made, half(made.K), 2)
    assert recording.names[-1] == "11" and recording.up.tolist() == [0, 0, 1] and recording.floor == 0


@pytest.mark.parametrize("zipped", [True, False])
def test_sens(made, tmp_path, zipped):
    file = files.sens(tmp_path / "scene0000_00" / "scene0000_00.sens", made, zipped)
    for path in (file, file.parent):
        recording = load_recording(path)
        assert_same(recording, made, half(made.K), 2)
        assert recording.name == "scene0000_00"


def test_tum(made, tmp_path):
    assert_same(load_recording(files.tum(tmp_path, made)), made, made.K)


def test_tum_without_intrinsics_has_those_of_its_camera_or_says_which_it_takes(made, tmp_path):
    made = files.walk(3, (480, 640))
    for name, focal, noted in (("rgbd_dataset_freiburg3_desk", 535.4, False), ("desk", 525.0, True)):
        folder = files.tum(tmp_path / name, made)
        (folder / "camera-intrinsics.txt").unlink()
        recording = load_recording(folder)
        assert recording.intrinsics[0, 0, 0] == focal and bool(recording.notes) == noted
    assert recording.intrinsics[0, 0, 2] == 320  # the default counts from the first pixel's centre


def test_tum_pictures_and_depth_maps_are_free_of_lens_distortion(tmp_path):
    """OpenCV says which ray each distorted pixel has; pictures and depth maps are functions of the ray."""
    size, K = (480, 640), pinhole(517.3, 516.5, 318.6, 255.3)
    coefficients = np.array([0.2624, -0.9531, -0.0054, 0.0026, 1.1633])
    v, u = np.mgrid[:size[0], :size[1]].astype(np.float64)
    rays = cv2.undistortPoints(np.stack([u, v], -1).reshape(-1, 1, 2), K, coefficients).reshape(*size, 2)

    def shown(x, y):
        return np.stack([127 + 100 * np.sin(4 * x), 127 + 100 * np.sin(4 * y), 127 + 100 * x], -1), 2 + x + 0.5 * y

    image, depth = shown(*np.moveaxis(rays, -1, 0))
    folder = files.tum(tmp_path / "rgbd_dataset_freiburg1_room", Made(np.eye(4)[None], K, image[None].round().astype(np.uint8),
                                                                     depth[None].astype(np.float32)))  # yapf: disable
    (folder / "camera-intrinsics.txt").unlink()
    recording = tum.read(folder)
    ideal = recording.intrinsics[0]
    image, depth = shown((u + 0.5 - ideal[0, 2]) / ideal[0, 0], (v + 0.5 - ideal[1, 2]) / ideal[1, 1])
    assert np.abs(recording.image(0) - image).max() < 3
    assert np.abs(recording.depth(0) - depth).max() < 0.005


def test_tum_leaves_out_pictures_without_a_depth_map_at_their_time(made, tmp_path):
    folder = files.tum(tmp_path, made)
    lines = (folder / "depth.txt").read_text().splitlines()
    (folder / "depth.txt").write_text("\n".join(lines[:4] + lines[6:]))
    recording = load_recording(folder)
    np.testing.assert_allclose(recording.poses, np.delete(made.poses, [3, 4], 0), atol=1e-6)
    assert "2 of 12" in recording.notes[0]


@pytest.mark.parametrize("video", [False, True])
def test_arkit(made, tmp_path, video):
    turned = made.turned(Z_UP_TO_Y_UP)
    recording = load_recording(files.arkit(tmp_path, turned, video))
    assert_same(recording, turned, None, tolerance=8 if video else 0)
    assert recording.up.tolist() == [0, 1, 0]


def test_record3d(made, tmp_path, unpacked):
    turned = made.turned(Z_UP_TO_Y_UP)
    recording = load_recording(files.record3d(tmp_path / "mine.r3d", turned))
    assert_same(recording, turned, made.K * [[0.5], [0.5], [1]], 2, tolerance=4)
    assert recording.name == "mine" and recording.up.tolist() == [0, 1, 0]


def test_record3d_by_its_own_compression(made, tmp_path):
    lzfse = pytest.importorskip("lzfse")
    recording = load_recording(files.record3d(tmp_path / "mine.r3d", made.turned(Z_UP_TO_Y_UP), lzfse.compress))
    np.testing.assert_array_equal(recording.depth(2), made.depths[2, ::2, ::2])


def test_record3d_without_its_package_says_what_to_install(made, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lzfse", None)
    with pytest.raises(MissingDependencyError, match="pip install lzfse"):
        load_recording(files.record3d(tmp_path / "mine.r3d", made.turned(Z_UP_TO_Y_UP)))


@pytest.mark.parametrize("depth", [True, False])
def test_transforms(made, tmp_path, depth):
    recording = load_recording(files.transforms(tmp_path, made, depth))
    assert_same(recording, made, made.K if depth else None)
    assert recording.names == [str(k) for k in range(12)]  # 10 comes after 9


def test_colmap(tmp_path):
    capture = generate_capture("head", 8, 0, (48, 48))  # few pictures far apart, in another unit than metres
    save_capture(capture, tmp_path / "head", "colmap")
    recording = load_recording(tmp_path / "head")
    np.testing.assert_allclose(recording.poses[:, :3], capture.cameras.cam_to_world, atol=1e-5)
    np.testing.assert_array_equal(recording.image(3), capture.images[3])


def test_up_is_estimated_where_the_layout_does_not_say(made, tmp_path):
    turn = np.eye(4)
    turn[:3, :3] = files.Rotation.from_euler("xyz", [0.4, 1.1, -2]).as_matrix()
    recording = load_recording(files.seven_scenes(tmp_path, made.turned(turn)))
    assert recording.up @ turn[:3, 2] > np.cos(np.radians(10)) and recording.floor is None


@pytest.mark.parametrize("headings, off", [((0, 30, 60, 90), 2), ((30, 30, 30, 30), 40)])
def test_cameras_that_look_down_but_are_held_level_know_up_if_they_turn(headings, off):
    poses = np.tile(np.eye(4), (len(headings), 1, 1))
    poses[:, :3, :3] = files.Rotation.from_euler("xz", [[-90 - 40, heading] for heading in headings], degrees=True).as_matrix()
    assert estimated_up(poses)[2] == pytest.approx(np.cos(np.radians(off)), abs=1e-3)


def test_a_scene_has_its_sequences(made, tmp_path):
    for name in ("seq-02", "seq-01"):
        files.seven_scenes(tmp_path / "chess" / name, made)
    found = find_recordings(tmp_path / "chess")
    assert [path.name for path in found] == ["seq-01", "seq-02"]
    assert load_recording(found[0]).name == "chess_seq-01"


def test_the_kitchen(real_data):
    recording = load_recording(real_data / "seven_scenes_redkitchen")
    assert len(recording) == len(list((real_data / "seven_scenes_redkitchen").glob("*.pose.txt"))) and not recording.notes
    depth = recording.depth(len(recording) // 2)
    assert depth.shape == recording.image(0).shape[:2] and 0.7 < depth[depth > 0].min() and depth.max() < 4


def test_colours_of_the_kitchen_agree_where_two_frames_see_the_same_points(real_data):
    recording = load_recording(real_data / "seven_scenes_redkitchen")
    (first, second), K = (10, 15), recording.intrinsics[0]
    rows, columns = (grid.ravel() for grid in np.mgrid[20:460:4, 20:620:4])
    z = recording.depth(first)[rows, columns]
    rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(z))], -1) @ np.linalg.inv(K).T
    world = np.c_[rays * z[:, None], np.ones(len(z))] @ recording.poses[first].T
    seen = (world @ np.linalg.inv(recording.poses[second]).T)[:, :3]
    u, v, depth = (seen @ K.T).T
    with np.errstate(invalid="ignore"):
        column, row = (np.nan_to_num(value / depth).astype(int).clip(0, limit) for value, limit in ((u, 639), (v, 479)))
    same = (z > 0) & (np.abs(recording.depth(second)[row, column] - depth) < 0.05)
    colours = [cv2.GaussianBlur(recording.image(k), (0, 0), 1.0).mean(-1) for k in (first, second)]
    agreement = np.corrcoef(colours[0][rows, columns][same], colours[1][row, column][same])[0, 1]
    assert same.mean() > 0.3 and agreement > 0.965  # 0.93 with one K and pose for both cameras
