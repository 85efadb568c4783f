"""Crops of faces and the way back, as PRNet's own program makes them."""

import numpy as np
import pytest
import torch

from deep3dmap.geometry import face_crops
from deep3dmap.geometry.face_crops import CropRule, box_crop, crop_image, from_crop, map_from_crop, vertex_colors
from tests import goldens

GOLDEN = goldens.read("prnet/api")
SIZE = 256  # of PRNet's crops
INDICES = torch.from_numpy(GOLDEN["face_ind"].astype(np.int64))
CASES = goldens.cases("prnet/api", r"(\w+)_tform")
IMAGE = goldens.tensor(GOLDEN["image"])


def box(left, right, top, bottom):
    return torch.tensor([left, top, right, bottom], dtype=torch.float64)


def crop_of(case):
    """The crop of a case of the fixture."""
    if case == "dlib":
        return box_crop(box(*GOLDEN["dlib_left_right_top_bottom"]), SIZE, face_crops.DETECTED)
    if case == "bbox":
        return box_crop(box(*GOLDEN["bbox_left_right_top_bottom"]), SIZE)
    return box_crop(face_crops.points_box(goldens.tensor(GOLDEN["kpt"]).T), SIZE)  # those of the case kptT are the same


def crop_square(crop, size):
    """The corners of a crop in the photograph: top left, bottom left, bottom right, top right."""
    corners = (size - 1) * torch.tensor([[0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]).to(crop)
    return from_crop(corners.expand(*crop.shape[:-2], 4, 3), crop)[..., :2]


def network_map():
    """The position map that the fixture has in place of the network's."""
    v, u = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij")
    x = 20 + 0.8 * u + 6 * (v / 17 + 0.5).sin()
    y = 15 + 0.85 * v + 5 * (u / 13).cos()
    return torch.stack([x, y, 60 + 40 * ((u - 128) / 60).cos() * ((v - 128) / 70).cos() + 0.5])


def face_points(maps):
    return maps.flatten(1).T[INDICES]


def assert_close(actual, key, tolerance=1e-6):
    np.testing.assert_allclose(actual, GOLDEN[key], atol=tolerance, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_the_crop_around_a_box(case):
    crop = crop_of(case)
    assert_close(crop, f"{case}_tform")
    assert_close(crop_square(crop, SIZE)[[0, 1, 3]], f"{case}_src_pts")


@pytest.mark.parametrize("case", CASES)
def test_the_picture_in_the_crop(case):
    picture = crop_image(IMAGE.permute(2, 0, 1).double() / 255, crop_of(case), SIZE).permute(1, 2, 0)
    step = -(-SIZE // GOLDEN[f"{case}_crop_sub"].shape[0])
    assert_close(picture[::step, ::step], f"{case}_crop_sub")


@pytest.mark.parametrize("case", CASES)
def test_the_position_map_restored_to_the_photograph(case):
    restored = map_from_crop(network_map(), crop_of(case))
    step = SIZE // GOLDEN[f"{case}_pos_sub"].shape[0]
    assert_close(restored.permute(1, 2, 0)[::step, ::step], f"{case}_pos_sub")
    column, row = GOLDEN["uv_kpt_ind"].astype(np.int64)
    assert_close(restored[:, row, column].T, f"{case}_landmarks")
    vertices = face_points(restored)
    assert_close(vertices[::every(vertices, f"{case}_vertices_sub")], f"{case}_vertices_sub")


def every(points, key):
    """The step at which the fixture stores vertices."""
    return -(-len(points) // len(GOLDEN[key]))


@pytest.mark.parametrize("case", goldens.cases("prnet/api", r"(\w+)_colors_sub"))
def test_the_colors_of_vertices(case):
    colors = vertex_colors(IMAGE, face_points(map_from_crop(network_map(), crop_of(case))))
    np.testing.assert_array_equal(colors[::every(colors, f"{case}_colors_sub")], GOLDEN[f"{case}_colors_sub"])
    np.testing.assert_array_equal(colors.long().sum(0), GOLDEN[f"{case}_colors_sum"])


def test_the_vertices_places_in_the_layout():
    v, u = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float64)] * 2, indexing="ij")
    places = face_points(torch.stack([u, v, torch.zeros_like(u)]))
    assert_close(places[::every(places, "uv_coords_sub")], "uv_coords_sub")


def test_vertices_outside_get_the_border_s_color():
    vertices = torch.tensor([[-5.0, -7.0, 0.0], [1e4, 1e4, 0.0]])
    assert torch.equal(vertex_colors(IMAGE, vertices), torch.stack([IMAGE[0, 0], IMAGE[-1, -1]]))
    assert float(vertices[0, 0]) == -5


def test_a_crop_that_reaches_beyond_the_picture_is_black_there():
    picture = crop_image(torch.ones(3, 20, 30), face_crops.square_crop(torch.tensor([0.0, 0.0]), torch.tensor(20.0), 21), 21)
    expected = torch.zeros(3, 21, 21)
    expected[:, 10:, 10:] = 1
    torch.testing.assert_close(picture, expected, atol=1e-5, rtol=0)


def test_points_go_to_the_crop_and_back():
    turned = torch.tensor([[0.0, -2.0, 7.0], [2.0, 0.0, 3.0], [0.0, 0.0, 1.0]])
    point = torch.tensor([[1.0, 2.0, 3.0]])
    torch.testing.assert_close(face_crops.to_crop(point, turned), torch.tensor([[3.0, 5.0, 6.0]]))
    torch.testing.assert_close(from_crop(face_crops.to_crop(point, turned), turned), point)
    maps = torch.arange(24.0).view(3, 2, 4)
    torch.testing.assert_close(map_from_crop(face_crops.map_to_crop(maps, turned), turned), maps)


def test_a_batch_of_boxes():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 20.0], [5.0, 6.0, 45.0, 66.0]])
    crops = box_crop(boxes, 64, CropRule(2.0))
    torch.testing.assert_close(crops, torch.stack([box_crop(each, 64, CropRule(2.0)) for each in boxes]))
    corners = crop_square(crops, 64)
    torch.testing.assert_close(corners[:, 0], torch.tensor([[-10.0, -5.0], [-25.0, -14.0]]))
    torch.testing.assert_close(corners[:, 2], torch.tensor([[20.0, 25.0], [75.0, 86.0]]))


def test_the_rule_shifts_and_truncates():
    corners = crop_square(box_crop(box(0, 10, 0, 11), 64, CropRule(1.5, 0.5, True)), 64)
    torch.testing.assert_close(corners[0], torch.tensor([5 - 7.5, 5.5 + 5.25 - 7.5], dtype=torch.float64))
    assert face_crops.LANDMARKS.whole and not CropRule(1.6).whole


def test_an_empty_box_is_refused():
    with pytest.raises(ValueError, match="positive"):
        box_crop(torch.tensor([3.0, 3.0, 3.0, 3.0]), 64)


def test_a_turned_crop_keeps_its_middle_and_turns_clockwise():
    crop = box_crop(box(10, 30, 20, 40), 65, CropRule(1.0))
    turned = face_crops.turned_crop(crop, 65, 90.0)
    points = torch.tensor([[20.0, 30.0, 0.0], [30.0, 30.0, 0.0]], dtype=torch.float64)  # the middle, and to its right
    expected = torch.tensor([[32.0, 32.0, 0.0], [32.0, 64.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(face_crops.to_crop(points, turned), expected)


def test_a_photograph_that_shrinks_is_smoothed():
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = face_crops.square_crop(torch.tensor([200.0, 200.0]), torch.tensor(320.0), 33)
    torch.testing.assert_close(face_crops.crop_photograph(stripes, crop, 33), torch.full((3, 33, 33), 100.0), atol=1.0, rtol=0)
    near = face_crops.square_crop(torch.tensor([200.0, 200.0]), torch.tensor(32.0), 33)
    picture = face_crops.crop_photograph(stripes, near, 33).permute(1, 2, 0)
    torch.testing.assert_close(picture, torch.from_numpy(stripes[184:217, 184:217]).float(), atol=0.05, rtol=0)


def test_a_crop_beside_the_photograph_is_black():
    crop = face_crops.square_crop(torch.tensor([-90.0, 500.0]), torch.tensor(40.0), 21)
    assert not face_crops.crop_photograph(np.full((60, 50, 3), 255, np.uint8), crop, 21).any()
