"""Faces in the layout of 300W-LP."""

import numpy as np
import pytest
import scipy.io
import torch

from deep3dmap.datasets import W300LP
from deep3dmap.datasets.faces.basel import BaselModel
from deep3dmap.errors import DataError
from tests.datasets.faces.basel_folder import write_model
from tests.datasets.faces.mat_folders import landmarks, write_face

PARTS = ("AFW", "AFW_Flip")


def write(root, name="AFW/AFW_1_0", seed=0, **changes):
    random = np.random.default_rng(seed)
    arrays = dict(pt2d=landmarks(seed, 2), Shape_Para=random.normal(0, 5, (199, 1)), Exp_Para=random.normal(0, 1, (29, 1)))
    return write_face(root / name, seed, **(arrays | changes))


def test_a_face_with_its_landmarks_box_and_pose(tmp_path):
    written = write(tmp_path)
    item = W300LP(str(tmp_path), parts=["AFW"])[0]
    assert item["name"] == "AFW/AFW_1_0" and item["img"].shape == written["img"].shape
    np.testing.assert_array_equal(item["landmarks"], written["pt2d"].T)
    np.testing.assert_array_equal(item["box"], [*written["pt2d"].min(1), *written["pt2d"].max(1)])
    pose = [item["pitch"], item["yaw"], item["roll"]]
    np.testing.assert_allclose(np.deg2rad(pose), written["Pose_Para"][0, :3], rtol=1e-6)


def test_faces_of_several_parts_have_names_of_their_own(tmp_path):
    for seed, name in enumerate(("AFW/a", "AFW/b", "AFW_Flip/a", "Code/Model")):
        write(tmp_path, name, seed)
    faces = W300LP(str(tmp_path), parts=PARTS)
    assert [faces[k]["name"] for k in range(len(faces))] == ["AFW/a", "AFW/b", "AFW_Flip/a"]


def test_landmarks_of_their_own_folder_are_preferred(tmp_path):
    write(tmp_path)
    points = np.random.default_rng(3).uniform(5, 55, (68, 2)).astype(np.float32)
    folder = tmp_path / "landmarks" / "AFW"
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "AFW_1_0_pts.mat", dict(pts_2d=points + 1, pts_3d=points))
    np.testing.assert_array_equal(W300LP(str(tmp_path), parts=["AFW"])[0]["landmarks"], points)


def test_a_model_gives_landmarks_in_space_and_the_position_map(tmp_path):
    pose = np.array([[0.2, -0.5, 0.1, 40.0, 30.0, -40.0, 0.04]])
    written = write(tmp_path, Pose_Para=pose)
    write_model(tmp_path / "model")
    item = W300LP(str(tmp_path), parts=["AFW"], model=str(tmp_path / "model"), map_size=32)[0]
    model = BaselModel.load(str(tmp_path / "model"))
    height = len(written.pop("img"))
    vertices = model.image_vertices(written, height)
    torch.testing.assert_close(torch.from_numpy(item["landmarks"]), vertices[model.landmarks])
    np.testing.assert_array_equal(item["box"][:2], item["landmarks"][:, :2].min(0))
    assert item["position_map"].shape == (3, 32, 32) and item["position_map"].dtype == np.float32
    face = (item["position_map"] != 0).any(0)
    low, high = vertices.amin(0).numpy() - 1e-3, vertices.amax(0).numpy() + 1e-3
    points = item["position_map"][:, face].T
    assert ((points >= low) & (points <= high)).all() and np.ptp(points, axis=0).min() > 0.8 * (high - low).min()


@pytest.mark.parametrize("key", ["pt2d", "Pose_Para"])
def test_a_missing_array_is_named(tmp_path, key):
    write(tmp_path)
    path = tmp_path / "AFW" / "AFW_1_0.mat"
    arrays = {name: array for name, array in scipy.io.loadmat(path).items() if not name.startswith("_") and name != key}
    scipy.io.savemat(path, arrays)
    with pytest.raises(DataError, match=f"AFW_1_0.mat.*{key}"):
        W300LP(str(tmp_path), parts=["AFW"])[0]


def test_coefficients_that_the_model_does_not_have_are_named(tmp_path):
    write(tmp_path, Exp_Para=np.zeros((64, 1)))
    write_model(tmp_path / "model")
    with pytest.raises(DataError, match="AFW_1_0.mat.*Exp_Para"):
        W300LP(str(tmp_path), parts=["AFW"], model=str(tmp_path / "model"))[0]


@pytest.mark.parametrize("key", ["pts_2d", "pts_3d"])
def test_damaged_landmarks_of_their_own_folder_are_named(tmp_path, key):
    write(tmp_path)
    folder = tmp_path / "landmarks" / "AFW"
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "AFW_1_0_pts.mat", {key: np.zeros((67, 2))})
    with pytest.raises(DataError, match="AFW_1_0_pts.mat.*pts_3d"):
        W300LP(str(tmp_path), parts=["AFW"])[0]


def test_a_missing_part_is_named(tmp_path):
    write(tmp_path)
    with pytest.raises(DataError, match="HELEN"):
        W300LP(str(tmp_path))
