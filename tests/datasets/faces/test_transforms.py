"""Transforms of faces: the crop shows what its labels say, random ones keep to their limits."""

import numpy as np
import pytest
import torch

from deep3dmap.datasets.faces import transforms
from deep3dmap.datasets.faces.detection import FaceBox
from deep3dmap.datasets.faces.transforms import DetectedBox, PackFace, RandomFaceBox, RandomOcclusion
from deep3dmap.datasets.transforms import RandomPhotometry

BOX = np.array([40, 30, 90, 86], np.float32)
GREY = np.full((120, 150, 3), 90, np.uint8)
MAP = 8  # pixels of a position map


def face(scale=1.0):
    """A face whose position map has points on a grid around its box; 0 in the first column, beside the face."""
    grid = np.linspace(0.1, 1, MAP)
    x, y = np.meshgrid(BOX[0] + grid * (BOX[2] - BOX[0]), BOX[1] + grid * (BOX[3] - BOX[1]))
    maps = scale * np.stack([x, y, 5 + x - y]).astype(np.float32)
    maps[:, :, 0] = 0
    return dict(img=GREY, box=scale * BOX, position_map=maps, name="face")


def spot(place, radius, height, width):
    """A picture that is brightest at a place."""
    y, x = np.mgrid[:height, :width]
    light = np.exp(-((x - place[0])**2 + (y - place[1])**2) / (2 * radius**2))
    return np.repeat((255 * light[..., None]).round().astype(np.uint8), 3, -1)


def brightest(image):
    """The centre (x, y) of what is bright in a crop."""
    light = image.sum(0).double()
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in light.shape), indexing="ij")
    return torch.stack([(light * x).sum(), (light * y).sum()]) / light.sum()


@pytest.mark.parametrize("scale, size, angle", [(1.0, 64, 0.0), (1.0, 160, 25.0), (6.0, 64, -40.0)])
def test_the_crop_shows_a_point_where_the_target_has_it(scale, size, angle):
    item = face(scale)
    row, column = 3, 5
    place = item["position_map"][:2, row, column]
    item["img"] = spot(place, 2.5 * scale, round(120 * scale), round(150 * scale))
    packed = PackFace(size)(item | dict(angle=angle))
    assert packed["img"].shape == (3, size, size)
    assert packed["img"].max() <= 1
    expected = packed["target"][:2, row, column]
    assert torch.linalg.norm(brightest(packed["img"]) - expected) < 0.1
    by_crop = packed["crop"] @ torch.tensor([*place, 1.0])
    torch.testing.assert_close(by_crop, torch.cat([expected, torch.ones(1)]), atol=1e-3, rtol=0)


def test_the_box_is_in_the_middle_of_the_crop_and_fills_its_share():
    crop = PackFace(101, margin=2.0)(face())["crop"]
    corners = crop[:2, :2] @ torch.from_numpy(BOX).view(2, 2).T + crop[:2, 2:]
    torch.testing.assert_close(corners.mean(1), torch.full((2, ), 50.0), atol=1e-3, rtol=0)
    assert float((corners[:, 1] - corners[:, 0]).mean()) == pytest.approx(50, abs=1e-3)


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_the_target_turns_and_scales_and_its_z_begins_at_0(angle):
    item = face() | dict(angle=angle)
    packed = PackFace(64)(item)
    assert item["angle"] == angle and "angle" not in packed
    own, target = face()["position_map"][:, :, 1:].reshape(3, -1), packed["target"][:, :, 1:].reshape(3, -1).numpy()
    scale = 63 / (1.6 * (BOX[2:] - BOX[:2]).mean())
    np.testing.assert_allclose(target[2], scale * (own[2] - own[2].min()), atol=1e-3)
    (x, y), cos, sin = scale * (own[:2, -1] - own[:2, 0]), np.cos(np.radians(angle)), np.sin(np.radians(angle))
    np.testing.assert_allclose(target[:2, -1] - target[:2, 0], [cos * x - sin * y, sin * x + cos * y], atol=1e-3)
    assert not packed["target"][:, :, 0].any()


def test_a_face_without_a_position_map_has_no_target_and_keeps_all_else():
    item = dict(img=GREY, box=BOX, landmarks=np.ones((68, 3)), name="face")
    packed = PackFace(32)(item)
    assert packed.keys() == {*item, "crop"}
    assert packed["landmarks"] is item["landmarks"]


def test_a_random_box_stays_within_its_limits_and_uses_them():
    shift, scale, rotation = 0.2, (0.5, 1.5), 40.0
    transform, side, middle = RandomFaceBox(shift, scale, rotation), 53.0, (BOX[:2] + BOX[2:]) / 2
    np.random.seed(0)
    found = [transform(face()) for _ in range(300)]
    boxes, angles = np.stack([each["box"] for each in found]), np.array([each["angle"] for each in found])
    moves = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - middle) / side
    factors = (boxes[:, 2:] - boxes[:, :2]) / (BOX[2:] - BOX[:2])
    np.testing.assert_allclose(factors[:, 0], factors[:, 1], rtol=1e-4)
    for values, low, high in ((moves, 0, shift), (factors, *scale), (np.abs(angles), 0, rotation)):
        margin = 0.1 * (high - low)
        assert low - 1e-4 <= values.min() < low + margin
        assert high - margin < values.max() <= high + 1e-4
    assert angles.min() < 0 < angles.max()


def test_as_many_faces_as_asked_for_are_occluded():
    np.random.seed(0)
    for prob, least, most in ((0.0, 0, 0), (0.5, 10, 30), (1.0, 36, 40)):
        transform = RandomOcclusion(prob)
        changed = [not np.array_equal(transform(face())["img"], GREY) for _ in range(40)]
        assert least <= sum(changed) <= most


@pytest.mark.parametrize("move", [(0, 0), (700, 0), (0, 700)])
def test_a_face_at_any_place_of_an_oblong_picture_is_occluded(move):
    np.random.seed(0)
    box = BOX + np.float32([*move, *move])
    image = np.full((120 + move[1], 150 + move[0], 3), 90, np.uint8)
    changed = np.stack([(RandomOcclusion(1.0)(dict(img=image, box=box))["img"] != image).any(-1) for _ in range(20)])
    left, top, right, bottom = box.astype(int)
    assert changed[:, top:bottom, left:right].any((1, 2)).sum() > 10


@pytest.mark.parametrize("transform", [RandomOcclusion(1.0), RandomPhotometry()])
def test_only_the_picture_changes(transform):
    np.random.seed(1)
    item = face()
    changed = transform(item)
    assert (changed["img"].dtype, changed["img"].shape) == (np.uint8, GREY.shape)
    assert (changed["img"] != GREY).any()
    assert (GREY == 90).all()
    assert all(changed[key] is item[key] for key in item if key != "img")


def test_photometry_of_no_strength_changes_nothing():
    np.random.seed(0)
    picture = np.random.randint(0, 256, GREY.shape).astype(np.uint8)
    assert np.array_equal(RandomPhotometry(0.0)(dict(img=picture))["img"], picture)


@pytest.mark.parametrize("transform", [RandomFaceBox(), RandomOcclusion(1.0), RandomPhotometry()])
def test_the_same_seed_gives_the_same_face(transform):

    def drawn(seed):
        np.random.seed(seed)
        return np.concatenate([np.ravel(value) for value in transform(face()).values() if not isinstance(value, str)])

    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))


@pytest.mark.parametrize("found, chosen", [([(200, 0, 300, 100), (35, 30, 92, 80), (42, 70, 50, 80)], 1),
                                           ([(0, 0, 4, 4)], 0)])  # yapf: disable
def test_of_the_detected_boxes_the_one_around_the_face_is_taken(monkeypatch, found, chosen):
    monkeypatch.setattr(transforms, "face_detector", lambda name: lambda image: [FaceBox(*box) for box in found])
    item = DetectedBox("mine")(face())
    np.testing.assert_array_equal(item["box"], np.float32(found[chosen]))


def test_of_a_face_that_is_not_detected_the_crop_is_the_whole_picture(monkeypatch):
    monkeypatch.setattr(transforms, "face_detector", lambda name: lambda image: [])
    packed = PackFace(64)(DetectedBox()(face()))
    height, width = GREY.shape[:2]
    middle = packed["crop"] @ torch.tensor([(width - 1) / 2, (height - 1) / 2, 1])
    torch.testing.assert_close(middle[:2], torch.full((2, ), 31.5), atol=1e-3, rtol=0)
    assert float(packed["crop"][0, 0]) == pytest.approx(63 / max(height, width), rel=1e-4)
