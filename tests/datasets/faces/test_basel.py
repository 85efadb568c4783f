"""Position maps of 300W-LP's faces from a Basel model."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.faces.basel import BaselModel, uv_pixels, y_down
from deep3dmap.errors import DataError
from deep3dmap.geometry.face_crops import from_crop, to_crop, training_crop, z_from_zero
from tests import goldens
from tests.datasets.faces.basel_folder import grid, write_model

GOLDEN = goldens.read("prnet/posmap_generation")
VERTICES = y_down(goldens.tensor(GOLDEN["vertices"]), int(GOLDEN["image_h"]))
SIDE = GOLDEN["src_pts"][1, 1] - GOLDEN["src_pts"][0, 1]
SIZE = round(float(GOLDEN["tform"][0, 0] * SIDE)) + 1


def face(seed=0):
    """A face's parameters as in its file."""
    random = np.random.default_rng(seed)
    pose = np.array([[0.2, -0.5, 0.1, 30.0, 25.0, -40.0, 0.04]])
    return dict(Pose_Para=pose, Shape_Para=random.normal(0, 5, (199, 1)), Exp_Para=random.normal(0, 1, (29, 1)))


def test_the_crop_of_a_training_picture():
    crop = training_crop(VERTICES[:68], goldens.tensor(GOLDEN["uniform3"]), SIZE)
    np.testing.assert_allclose(crop, GOLDEN["tform"], atol=1e-6)
    corners = (SIZE - 1) * torch.tensor([[0, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=torch.float64)
    np.testing.assert_allclose(from_crop(corners, crop)[:, :2], GOLDEN["src_pts"], atol=1e-6)


def test_positions_in_the_crop():
    positions = z_from_zero(to_crop(VERTICES, goldens.tensor(GOLDEN["tform"])))
    np.testing.assert_allclose(positions, GOLDEN["position"], atol=1e-6)


def test_places_in_the_map():
    np.testing.assert_allclose(uv_pixels(goldens.tensor(GOLDEN["uv_in"]), SIZE), GOLDEN["uv_px"], atol=1e-6)


def shaped(model, found):
    """The vertices of a face in the model's axes."""
    shape, expression = (torch.from_numpy(found[key][:, 0]).float() for key in ("Shape_Para", "Exp_Para"))
    return model.vertices(shape, expression)


def test_the_vertices_of_a_face(tmp_path):
    arrays, found = write_model(tmp_path), face()
    changes = arrays["shapePC"] @ found["Shape_Para"] + arrays["expPC"] @ found["Exp_Para"]
    expected = (arrays["shapeMU"] + arrays["expMU"] + changes).reshape(-1, 3)
    np.testing.assert_allclose(shaped(BaselModel.load(str(tmp_path)), found), expected, atol=0.01)


def test_the_vertices_in_the_picture(tmp_path):
    write_model(tmp_path)
    model, found = BaselModel.load(str(tmp_path)), face()
    found["Pose_Para"] = np.array([[0.0, 0.0, 0.0, 30.0, 25.0, -40.0, 0.04]])
    x, y, z = shaped(model, found).T
    expected = torch.stack([30 + 0.04 * x, 59 - 25 - 0.04 * y, 0.04 * (z - z.min())], 1)
    torch.testing.assert_close(model.image_vertices(found, 60), expected, atol=1e-4, rtol=1e-5)


def test_the_turn_is_that_of_3ddfa(tmp_path):
    arrays = write_model(tmp_path)
    model, found = BaselModel.load(str(tmp_path)), dict(Shape_Para=np.zeros((199, 1)), Exp_Para=np.zeros((29, 1)))
    found["Pose_Para"] = np.array([[0, np.pi / 2, 0, 0, 0, 0, 1]])
    x, y, z = (arrays["shapeMU"] + arrays["expMU"]).reshape(-1, 3).T
    expected = np.stack([-z, -1 - y, x - x.min()], 1)  # the face's front, z, points to the picture's left
    np.testing.assert_allclose(model.image_vertices(found, 0), expected, atol=0.01)


def test_the_position_map_of_a_face(tmp_path):
    write_model(tmp_path)
    model = BaselModel.load(str(tmp_path))
    linear = torch.tensor([[50.0, 8.0, 3.0], [-6.0, 40.0, 9.0]])
    uv = torch.from_numpy(grid()).float()
    size = 48
    positions = model.position_map(uv @ linear, size)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    places = torch.stack([column, size - 1 - row], -1) / (size - 1)
    inside = ((places > 0.05) & (places < 0.95)).all(-1)
    torch.testing.assert_close(positions.permute(1, 2, 0)[inside], (places @ linear)[inside], atol=1e-3, rtol=0)
    assert not positions[:, 0].any() and not positions[:, :, -1].any()  # beyond the grid


@pytest.mark.parametrize("key, value", [
    ("shapePC", None), ("kpt_ind", None), ("shapeMU", np.zeros((7, 1))), ("expPC", np.full((243, 29), np.nan)),
    ("tri", np.full((3, 5), 82)), ("tri_mouth", np.zeros((3, 5))), ("kpt_ind", np.full((1, 68), 0)),
    ("kpt_ind", np.ones((1, 67)))])  # yapf: disable
def test_a_damaged_model_is_named(tmp_path, key, value):
    write_model(tmp_path, **{key: value})
    with pytest.raises(DataError, match=rf"BFM.mat.*{'shape' if key == 'shapeMU' else key}"):
        BaselModel.load(str(tmp_path))


def test_uv_coordinates_of_another_model_are_named(tmp_path):
    write_model(tmp_path, UV=np.zeros((7, 2)))
    with pytest.raises(DataError, match="BFM_UV.mat.*UV"):
        BaselModel.load(str(tmp_path))


@pytest.mark.parametrize("file", ["BFM.mat", "BFM_UV.mat"])
def test_a_missing_file_is_named(tmp_path, file):
    write_model(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=file):
        BaselModel.load(str(tmp_path))


def test_a_file_that_is_no_model_is_named(tmp_path):
    write_model(tmp_path)
    (tmp_path / "BFM.mat").write_bytes((tmp_path / "BFM_UV.mat").read_bytes())
    with pytest.raises(DataError, match="BFM.mat"):
        BaselModel.load(str(tmp_path))
