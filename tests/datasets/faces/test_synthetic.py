"""Synthetic faces: what their labels say is what their pictures show."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.faces import SyntheticFaces
from deep3dmap.datasets.faces.ict_maps import ICTMaps
from deep3dmap.datasets.faces.synthetic.heads import MOUTH, dressed, wardrobe
from deep3dmap.datasets.faces.synthetic.people import Sitter, head_rotation
from deep3dmap.datasets.faces.synthetic.rendering import VARIED, portrait
from deep3dmap.errors import ConfigError

NOSE_TIP, RIGHT_JAW, LEFT_JAW = 30, 0, 16


@pytest.fixture(scope="module")
def model(real_data):
    if not (real_data / "ict_face").is_dir():
        pytest.skip("needs the face model: deep3dmap download ict_face")
    return str(real_data / "ict_face")


@pytest.fixture(scope="module")
def faces(model):
    return SyntheticFaces("validation", size=96, model=model)


@pytest.fixture(scope="module")
def items(faces):
    return [faces[k] for k in range(12)]


def test_an_item_depends_on_its_index_alone(faces, items, model):
    again = SyntheticFaces("validation", size=96, model=model)[3]
    assert np.array_equal(again["img"], items[3]["img"])
    assert np.array_equal(again["position_map"], items[3]["position_map"])
    assert len({item["img"].tobytes() for item in items}) == len(items)


def test_no_person_is_in_two_splits(items, model):
    for options in (dict(split="train"), dict(split="validation", seed=1)):
        other = SyntheticFaces(size=96, model=model, **options)[0]
        assert not np.allclose(other["landmarks"], items[0]["landmarks"], atol=1)


def test_landmarks_are_pixels_of_the_position_map(items):
    layout = ICTMaps.load(128).layout
    for item in items:
        marks = layout.landmark_points(torch.from_numpy(item["position_map"])).numpy()
        np.testing.assert_allclose(marks, item["landmarks"], atol=1e-3)


def test_the_box_is_in_the_middle_of_the_picture(items):
    for item in items:
        left, top, right, bottom = item["box"]
        assert abs((left + right) / 2 - 47.5) < 0.1
        assert abs((top + bottom) / 2 - 47.5) < 0.1
        assert (right - left + bottom - top) / 2 == pytest.approx(96 / 2.3, rel=1e-3)


def test_a_positive_yaw_turns_the_nose_to_the_pictures_left(items):
    turned = [item for item in items if abs(item["yaw"]) > 20]
    assert {np.sign(item["yaw"]) for item in turned} == {-1, 1}
    for item in turned:
        marks = item["landmarks"]
        middle = (marks[RIGHT_JAW, 0] + marks[LEFT_JAW, 0]) / 2
        assert np.sign(middle - marks[NOSE_TIP, 0]) == np.sign(item["yaw"])


def test_half_of_a_profile_is_hidden(model):
    shared = wardrobe(model)
    yaw = [abs(portrait_sitter(shared, k).angles[0]) for k in range(60)]
    for chosen, low, high in ((np.argsort(yaw)[:3], 0.65, 1.0), (np.argsort(np.abs(np.array(yaw) - 75))[:3], 0.2, 0.6)):
        visible = [portrait(shared, 96, [5, int(k)], left_out=VARIED).visible.mean() for k in chosen]
        assert low < np.mean(visible) <= high


def portrait_sitter(shared, k):
    """The person of the portrait of the seed [5, k]."""
    random = np.random.default_rng([5, k, 0])
    return Sitter.drawn(shared.draw_identity(random), shared.model, random)


def test_a_face_alone_is_brighter_than_a_plain_dark_background_where_the_map_says_it_is(model):
    """The map's visible points lie on the rendered head: the background is plain, so its colour tells."""
    shared = wardrobe(model)
    maps = ICTMaps.load(128)
    for k in range(6):
        found = portrait(shared, 128, [6, k], left_out=VARIED)
        points = maps.values(found.points)
        column, row = np.round(points[:, :2]).astype(int).clip(0, 127).T
        on_head = (np.abs(found.image[row, column].astype(int) - 128) > 3).any(-1)
        assert on_head.mean() > 0.95


@pytest.mark.parametrize("name", VARIED)
def test_what_is_left_out_changes_the_picture_and_not_the_labels(model, items, name):
    other = SyntheticFaces("validation", size=96, model=model, left_out=[name])
    pictures = [not np.array_equal(other[k]["img"], items[k]["img"]) for k in range(4)]
    assert any(pictures)
    for k in range(4):
        assert np.array_equal(other[k]["landmarks"], items[k]["landmarks"])


def test_cached_faces_are_read_and_not_rendered(model, items, tmp_path, monkeypatch):
    options = dict(split="validation", size=96, model=model, cache=str(tmp_path))
    SyntheticFaces(**options)[2]
    monkeypatch.setattr(SyntheticFaces, "_rendered", None)
    cached = SyntheticFaces(**options)[2]
    np.testing.assert_allclose(cached["landmarks"], items[2]["landmarks"], atol=1 / 64)
    np.testing.assert_allclose(cached["position_map"], items[2]["position_map"], atol=1 / 64)
    assert np.abs(cached["img"].astype(int) - items[2]["img"]).mean() < 6
    assert cached["yaw"] == items[2]["yaw"]


def test_unknown_splits_and_variations_are_refused():
    with pytest.raises(ConfigError, match="'tset'"):
        SyntheticFaces("tset")
    with pytest.raises(ConfigError, match="'light'"):
        SyntheticFaces(left_out=["light"])


def test_a_frontal_face_looks_at_the_camera():
    assert np.allclose(head_rotation(0, 0, 0), np.diag([1, -1, -1]))
    out_of_face = np.array([0.0, 0.0, 1.0])
    right, up = head_rotation(40, 0, 0) @ out_of_face, head_rotation(0, 20, 0) @ out_of_face
    assert right[0] > 0.5
    assert up[1] < -0.2
    leaning = head_rotation(0, 0, 30) @ [0.0, 1.0, 0.0]
    assert leaning[0] < -0.4


def test_the_mouth_opens_onto_teeth_and_not_onto_skin(model):
    shared = wardrobe(model)
    random = np.random.default_rng(0)
    sitter = Sitter.drawn(shared.draw_identity(random), shared.model, random)
    expression = np.zeros_like(sitter.expression)
    expression[shared.model.expression_names.index("jawOpen")] = 1
    head = dressed(shared, sitter.identity, expression, [])
    marks = head.model_vertices[shared.model.landmarks68]
    gap = marks[66, 1] - marks[62, 1]
    assert gap < -0.5
    inside = head.vertices[head.material == MOUTH]
    assert inside[:, 2].max() < marks[62, 2]
