"""What is wrong with a recording is told in one error, with its likely cause."""

import json
import re

import numpy as np
import pytest

from deep3dmap.datasets.videos import load_recording
from deep3dmap.datasets.videos.fragments import windows_of
from deep3dmap.errors import DataError
from tests.datasets.videos import made as files
from tests.datasets.videos.made import OPENGL, Z_UP_TO_Y_UP, walk


def refused(path, *words: str) -> str:
    with pytest.raises(DataError) as error:
        load_recording(path)
    message = str(error.value)
    assert str(path) in message and all(re.search(word, message, re.IGNORECASE) for word in words), message
    return message


def test_poses_that_are_missing(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    for pose in folder.glob("*.pose.txt"):
        pose.unlink()
    refused(folder, "none of its 12 frames", "ARKit", "colmap")


@pytest.mark.parametrize("lost", [np.full((4, 4), -np.inf), np.full((4, 4), np.nan)])
def test_poses_that_are_not_finite_are_counted(made, tmp_path, lost):
    folder = files.scannet(tmp_path, made)
    files.save_matrix(folder / "pose" / "3.txt", lost)
    (folder / "pose" / "5.txt").unlink()
    recording = load_recording(folder)
    assert len(recording) == 12 and "2 of 12" in recording.notes[0]
    assert {3, 5}.isdisjoint(sum(windows_of(recording, views=2), []))


@pytest.mark.parametrize("change, words", [(np.diag([2.0, 2, 2, 1]), "not rigid"), (np.diag([1.0, -1, 1, 1]), "left-handed")])
def test_a_pose_that_is_no_rigid_motion(made, tmp_path, change, words):
    folder = files.seven_scenes(tmp_path, made)
    files.save_matrix(folder / "frame-000008.pose.txt", made.poses[2] @ change)
    refused(folder, words, "frame-000008", "1 of 12")


MISTAKES = {
    "OpenGL": lambda poses: poses @ OPENGL,
    "world to camera instead": np.linalg.inv,
    "left-handed": lambda poses: np.diag([1.0, -1, 1, 1]) @ poses @ np.diag([1.0, -1, 1, 1]),
    "in millimetres instead": lambda poses: poses * np.where(np.eye(4)[3] == 1, 1000, 1) * np.ones((4, 1)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_poses_of_another_convention_are_told_from_the_depth_maps(tmp_path, mistake):
    made = walk(16, step=0.12, nod=0.3)
    poses = MISTAKES[mistake](made.poses)
    poses[:, 3] = [0, 0, 0, 1]
    made.poses = poses
    refused(files.seven_scenes(tmp_path, made), mistake)


def test_the_kitchen_in_another_convention_is_told(real_data, tmp_path):
    for file in (real_data / "seven_scenes_redkitchen").glob("frame-*"):
        if file.suffix == ".txt":
            files.save_matrix(tmp_path / file.name, np.loadtxt(file) @ OPENGL)
        else:
            (tmp_path / file.name).symlink_to(file)
    refused(tmp_path, "contradict", "OpenGL")


@pytest.mark.parametrize("steps, words", [(1, "hold metres"), (60_000 / 3.5, None), (10, "hold metres")])
def test_depth_in_another_unit(made, tmp_path, steps, words):
    folder = files.seven_scenes(tmp_path, made, steps)
    if words:
        refused(folder, "median depth", words)
    else:
        refused(folder)


def test_depth_in_millimetres_where_metres_are_expected(tmp_path, unpacked):
    made = walk()
    made.depths = made.depths * 1000
    refused(files.record3d(tmp_path / "a.r3d", made.turned(Z_UP_TO_Y_UP)), "median depth", "hold millimetres")


def test_depth_maps_that_are_empty(tmp_path):
    made = walk()
    made.depths = made.depths * 0
    refused(files.seven_scenes(tmp_path, made), "empty")


@pytest.mark.parametrize("kind", ["color", "depth"])
def test_sizes_that_differ_between_frames(made, tmp_path, kind):
    folder = files.seven_scenes(tmp_path, made)
    large = walk(8, (48, 64))
    if kind == "color":
        files.save_image(folder / "frame-000028.color.png", large.images[7])
    else:
        files.save_depth(folder / "frame-000028.depth.png", large.depths[7])
    with pytest.raises(DataError, match="frame-000028 is 64x48 but that of frame frame-0000.. is 48x36"):
        recording = load_recording(folder)
        recording.image(7), recording.depth(7)


def test_intrinsics_of_another_size_than_the_pictures(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    files.save_matrix(folder / "camera-intrinsics.txt", made.K * [[4], [4], [1]])
    refused(folder, "48x36", "as of about 196x141")


def test_intrinsics_of_another_size_than_the_depth_maps(made, tmp_path):
    folder = files.scannet(tmp_path, made)
    (folder / "intrinsic" / "intrinsic_depth.txt").write_text(
        (folder / "intrinsic" / "intrinsic_color.txt").read_text().replace(f"{made.K[0, 2] - 0.5:.9g}",
                                                                           f"{made.K[0, 2] * 2:.9g}"))
    refused(folder, "depth maps are 24x18")


def test_intrinsics_that_are_none(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    files.save_matrix(folder / "camera-intrinsics.txt", -made.K)
    refused(folder, "focal lengths")


def test_pictures_of_another_size_than_the_layouts_own_need_intrinsics(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    (folder / "camera-intrinsics.txt").unlink()
    refused(folder, "48x36", "camera-intrinsics.txt")


def test_a_video_has_no_poses(made, tmp_path):
    files.save_video(tmp_path / "clip.avi", made.images)
    refused(tmp_path / "clip.avi", "no camera poses", "colmap")
    refused(tmp_path, "clip.avi", "no camera poses", "pycolmap", "ARKit")


def test_pictures_have_no_poses(made, tmp_path):
    files.save_image(tmp_path / "images" / "0.png", made.images[0])
    refused(tmp_path, "images", "no camera poses")


@pytest.mark.parametrize("write, file", [(files.tum, "groundtruth.txt"), (files.arkit, "ARposes.txt")])
def test_a_layout_without_its_file_of_poses(made, tmp_path, write, file):
    (write(tmp_path, made) / file).unlink()
    refused(tmp_path, file, "no camera poses")


@pytest.mark.parametrize("depth", [True, False])
def test_frames_that_see_nothing_in_common(tmp_path, depth):
    made = walk(8)
    made.poses[::2, :3, :3] = made.poses[::2, :3, :3] @ np.diag([-1.0, 1, -1])  # to and fro
    refused(files.transforms(tmp_path, made, depth), "nothing in common")


def test_a_standing_camera_has_one_key_frame(tmp_path):
    made = walk(6, step=0.0)
    made.poses[:] = made.poses[0]
    made.depths[:] = made.depths[0]
    recording = load_recording(files.seven_scenes(tmp_path, made))
    with pytest.raises(DataError, match="1 key frame of 6 frames.*hardly moves"):
        windows_of(recording)


def test_a_folder_of_recordings_is_told_from_one(made, tmp_path):
    files.tum(tmp_path / "desk", made)
    refused(tmp_path, "contains 1", "desk")


def test_nothing_that_is_known_lists_the_layouts(tmp_path):
    message = refused(tmp_path, "no recording")
    assert all(word in message
               for word in ("7-Scenes", "ScanNet", ".sens", "TUM", "ARKit", "Record3D", "transforms.json", "COLMAP"))


DAMAGED = {
    "frame-000004.color.png": (files.seven_scenes, lambda data: data[:60]),
    "frame-000004.depth.png": (files.seven_scenes, lambda data: data[:60]),
    "frame-000004.pose.txt": (files.seven_scenes, lambda data: data[:60]),
    "camera-intrinsics.txt": (files.seven_scenes, lambda data: b"585 0 320"),
    "rgb.txt": (files.tum, lambda data: b"1.0\n"),
    "groundtruth.txt": (files.tum, lambda data: b"1 2 3 4 5 6 7 eight\n"),
    "Frames.txt": (files.arkit, lambda data: b""),
    "ARposes.txt": (files.arkit, lambda data: b"1, 2, 3\n"),
}


@pytest.mark.parametrize("file", DAMAGED)
def test_a_damaged_file_is_named(made, tmp_path, file):
    write, damage = DAMAGED[file]
    path = write(tmp_path, made) / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=re.escape(str(path))):
        recording = load_recording(tmp_path)
        recording.image(1), recording.depth(1)


@pytest.mark.parametrize("keep", [3, 40, 400, 3000])
def test_a_sens_file_cut_short_is_named(made, tmp_path, keep):
    file = files.sens(tmp_path / "a.sens", made)
    file.write_bytes(file.read_bytes()[:keep])
    refused(file)


@pytest.mark.parametrize("damage", [dict(poses=[[0] * 6]), dict(dw=-1), dict(K=[1, 2]), dict(w="wide"), dict(poses=None)])
def test_a_damaged_record3d_file_is_named(made, tmp_path, unpacked, damage):
    file = files.record3d(tmp_path / "a.r3d", made)
    members = files.zipfile.ZipFile(file)
    contents = {name: members.read(name) for name in members.namelist()}
    contents["metadata"] = json.dumps(json.loads(contents["metadata"]) | damage)
    with files.zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    refused(file)


def test_a_depth_map_that_is_missing_is_named(made, tmp_path):
    folder = files.transforms(tmp_path, made)
    (folder / "depth" / "7.png").unlink()
    refused(folder, "7.png", "no such depth map")


def test_depth_maps_of_eight_bits_are_refused(made, tmp_path):
    folder = files.seven_scenes(tmp_path, made)
    for file in folder.glob("*.depth.png"):
        files.save_image(file, made.images[0])
    refused(folder, "16 bits")
