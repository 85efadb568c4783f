"""Faces in the layout of AFLW2000-3D."""

import numpy as np
import pytest
import scipy.io
import torch

from deep3dmap.datasets import AFLW2000
from deep3dmap.errors import DataError
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.face_pose import angles_to_rotation
from deep3dmap.registry import DATASETS
from deep3dmap.structures.uv_layout import UVLayout
from tests.datasets.faces.mat_folders import landmarks, write_face

BROWS_NOSE_EYES = slice(17, 48)  # what an expression hardly moves
UP = torch.tensor([1.0, -1.0, 1.0])  # from y down to y up


def write(folder, name="image00002", seed=0, **changes):
    return write_face(folder / name, seed, **(dict(pt3d_68=landmarks(seed)) | changes))


def test_a_face_with_its_landmarks_box_and_pose(tmp_path):
    written = write(tmp_path)
    item = AFLW2000(str(tmp_path))[0]
    assert item["name"] == "image00002"
    assert np.abs(item["img"].astype(int) - written["img"]).mean() < 3
    assert item["img"].dtype == np.uint8 and item["img"].shape == written["img"].shape
    np.testing.assert_array_equal(item["landmarks"], written["pt3d_68"].T)
    x, y = written["pt3d_68"][:2]
    np.testing.assert_array_equal(item["box"], [x.min(), y.min(), x.max(), y.max()])
    pose = [item["pitch"], item["yaw"], item["roll"]]
    np.testing.assert_allclose(np.deg2rad(pose), written["Pose_Para"][0, :3], rtol=1e-6)
    assert all(item[key].dtype == np.float32 for key in ("landmarks", "box", "yaw", "pitch", "roll"))


def test_faces_are_sorted_by_name_and_others_files_ignored(tmp_path):
    for seed, name in enumerate(("b", "a", "c")):
        write(tmp_path, name, seed)
    (tmp_path / ".a.mat").write_bytes(b"")
    (tmp_path / "code.m").write_text("")
    faces = DATASETS.build(dict(type="AFLW2000", folder=str(tmp_path)))
    assert [faces[k]["name"] for k in range(len(faces))] == ["a", "b", "c"]


def test_the_pipeline_is_applied(tmp_path):
    write(tmp_path)
    item = AFLW2000(str(tmp_path), pipeline=[dict(type="mmcv.Resize", scale=(40, 30))])[0]
    assert item["img"].shape == (30, 40, 3)


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def garble(path):
    path.write_bytes(b"\x89PNG" + bytes(500))


@pytest.mark.parametrize("damage", [cut, garble, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_named(tmp_path, damage):
    write(tmp_path)
    damage(tmp_path / "image00002.mat")
    with pytest.raises(DataError, match="image00002.mat"):
        AFLW2000(str(tmp_path))[0]


@pytest.mark.parametrize("key", ["pt3d_68", "Pose_Para"])
@pytest.mark.parametrize("value", [None, np.zeros((2, 5)), np.zeros((1, 3, 68)), np.array([["words"]], object), "words"])
def test_a_missing_or_wrong_array_is_named(tmp_path, key, value):
    write(tmp_path)
    path = tmp_path / "image00002.mat"
    arrays = {name: array for name, array in scipy.io.loadmat(path).items() if not name.startswith("_")} | {key: value}
    scipy.io.savemat(path, {name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=f"image00002.mat.*{key}"):
        AFLW2000(str(tmp_path))[0]


@pytest.mark.parametrize("points", [np.full((3, 68), np.nan), np.full((3, 68), 1j), np.ones((3, 68))])
def test_landmarks_that_are_no_face_are_refused(tmp_path, points):
    write(tmp_path, pt3d_68=points)
    with pytest.raises(DataError, match="image00002.mat.*landmarks|image00002.mat.*pt3d_68"):
        AFLW2000(str(tmp_path))[0]


def test_a_missing_picture_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "image00002.jpg").unlink()
    with pytest.raises(DataError, match="image00002.jpg"):
        AFLW2000(str(tmp_path))[0]


def test_a_folder_without_faces_is_refused(tmp_path):
    with pytest.raises(DataError, match=".mat"):
        AFLW2000(str(tmp_path))


def test_all_samples_are_read(real_data):
    faces = AFLW2000(str(real_data / "aflw2000_samples"))
    assert len(faces) == len(list((real_data / "aflw2000_samples").glob("*.jpg")))
    for face in (faces[k] for k in range(len(faces))):
        height, width = face["img"].shape[:2]
        left, top, right, bottom = face["box"]
        assert 0 < left < right < width and 0 < top < bottom < height
        assert face["landmarks"][30, 2] > face["landmarks"][[0, 16], 2].mean()  # the nose is nearer than the jaw's ends


def test_the_pose_is_that_of_the_landmarks(real_data):
    layout, faces = UVLayout.load("ict", 128), AFLW2000(str(real_data / "aflw2000_samples"))
    places = layout.landmarks[:, 1] * layout.size + layout.landmarks[:, 0]
    mean = torch.from_numpy(layout.canonical[np.searchsorted(layout.indices, places)]) * UP
    for face in (faces[k] for k in range(len(faces))):
        points = torch.from_numpy(face["landmarks"]) * UP
        linear = align_points(mean[BROWS_NOSE_EYES], points[BROWS_NOSE_EYES])[:3, :3]
        angles = torch.tensor([face["pitch"], face["yaw"], face["roll"]]).deg2rad()
        cosine = (torch.trace(linear @ angles_to_rotation(angles, "3ddfa").T) / torch.linalg.det(linear)**(1 / 3) - 1) / 2
        assert torch.rad2deg(torch.acos(cosine.clamp(max=1))) < 4
