"""Finding faces: faces that are given, the cascade with networks made up here, and MTCNN's real weights if installed."""

import importlib.metadata
import json

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from scipy.io import loadmat
from torch.nn.functional import conv2d, interpolate

from deep3dmap.datasets.faces.detection import FaceBox, face_detector, mtcnn
from deep3dmap.datasets.faces.detection.boxes import overlaps, strongest
from deep3dmap.datasets.faces.detection.haar import Haar
from deep3dmap.datasets.faces.detection.lbp import LBP
from deep3dmap.datasets.faces.detection.mtcnn_networks import load_networks, networks
from deep3dmap.errors import ConfigError, DataError, MissingDependencyError
from deep3dmap.io.images import read_image

BOX = [10, 20, 50, 80]
POINTS = np.random.default_rng(0).uniform(5, 90, (68, 2))


def overlap(face, truth) -> float:
    return float(overlaps(np.array(truth, float), np.array([face[:4]]))[0])


def test_a_weaker_box_that_overlaps_a_kept_one_is_dropped():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [2, 2, 6, 6]], float)
    scores = np.array([0.8, 0.9, 0.7, 0.6])
    assert strongest(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert strongest(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]


def test_the_box_around_landmarks_touches_the_outermost_ones():
    assert FaceBox.around(np.array([[3., 9., 1.], [5., 2., 7.], [4., 4., 4.]])) == (3, 2, 5, 9, 1)


@pytest.mark.parametrize("height, width", [(160, 160), (160, 100), (20, 33)])
def test_a_whole_picture_is_one_face_in_its_middle(height, width):
    face, = face_detector("none")(np.zeros((height, width, 3), np.uint8))
    assert face.left + face.right == pytest.approx(width - 1) and face.top + face.bottom == pytest.approx(height - 1)
    assert 1.6 * (face.right - face.left) == pytest.approx(max(height, width)) == pytest.approx(1.6 * (face.bottom - face.top))


@pytest.fixture
def picture(tmp_path):
    return tmp_path / "two.faces.jpg"


@pytest.mark.parametrize("face, box", [
    (BOX, BOX),
    (dict(box=BOX), BOX),
    (dict(landmarks=POINTS.tolist()), [*POINTS.min(0), *POINTS.max(0)]),
    (dict(landmarks=np.c_[POINTS, POINTS[:, :1]].tolist()), [*POINTS.min(0), *POINTS.max(0)]),
])
def test_faces_are_given_by_boxes_or_landmarks_in_one_file_or_beside_the_picture(picture, face, box):
    document = [[0, 0, 4, 4], face]
    (picture.parent / "all.json").write_text(json.dumps({picture.name: document}))
    picture.with_suffix(".json").write_text(json.dumps(document))
    image = np.zeros((100, 100, 3), np.uint8)
    for detector in (face_detector("given", picture.parent / "all.json"), face_detector("given")):
        faces = detector(image, picture)
        assert [each.score for each in faces] == [1, 1]
        assert faces[0][:4] == pytest.approx(box) and faces[1][:4] == (0, 0, 4, 4)  # the largest first
        with pytest.raises(DataError) as error:
            detector(image, picture.with_name("other.jpg"))
        assert all(name in str(error.value) for name in (("other.jpg", "all.json") if detector.path else ("other.json", )))


@pytest.mark.parametrize("document, named", [
    ("[", ""),
    ('{"box": [1, 2, 3, 4]}', "box"),
    ([[1, 2, 3]], "face 0"),
    ([BOX, [1, 2, "x", 4]], "face 1"),
    ([[5, 1, 2, 9]], "left < right"),
    ([[0, 0, 1e999, 5]], "finite"),
    ([{}], "landmarks"),
    ([dict(box=BOX, landmarks=POINTS.tolist())], "landmarks"),
    ([dict(landmarks=POINTS[:67].tolist())], "68"),
    ([dict(landmarks=[])], "68"),
    ([dict(landmarks=POINTS[:1].repeat(68, 0).tolist())], "face 0"),
])
def test_given_faces_that_can_not_be_are_refused(picture, document, named):
    file = picture.with_suffix(".json")
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(DataError) as error:
        face_detector("given")(np.zeros((9, 9, 3), np.uint8), picture)
    assert str(file) in str(error.value) and named in str(error.value)


def test_a_file_of_given_faces_is_checked_when_it_is_read(tmp_path):
    with pytest.raises(DataError, match="none.json"):
        face_detector("given", tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[[1, 2, 3, 4]]")
    with pytest.raises(DataError, match="list.json"):
        face_detector("given", tmp_path / "list.json")


def test_a_picture_without_a_name_has_no_given_faces():
    with pytest.raises(DataError):
        face_detector("given")(np.zeros((9, 9, 3), np.uint8))


def test_an_unknown_detector_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="mtcnn"):
        face_detector("mtcn")


def test_only_the_detector_given_takes_a_file(tmp_path):
    with pytest.raises(ConfigError, match="mtcnn"):
        face_detector("mtcnn", tmp_path / "boxes.json")


@pytest.fixture
def nothing_installed(monkeypatch):

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("deep3dmap.datasets.faces.detection.mtcnn_networks.distribution", absent)
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)


@pytest.mark.parametrize("name, lines", [("mtcnn", ["facenet-pytorch"]), ("haar", ["opencv-python<5"])])
def test_a_missing_detector_says_how_to_install_it(nothing_installed, name, lines):
    with pytest.raises(MissingDependencyError) as error:
        face_detector(name)
    assert all(line in str(error.value) for line in lines)


def test_without_any_other_the_detector_of_scikit_image_is_used(nothing_installed):
    assert isinstance(face_detector("auto"), LBP)


def astronaut():
    """NASA's portrait of Eileen Collins, in the public domain, that scikit-image has; and the box of her face."""
    return skimage.data.astronaut(), (177, 78, 271, 192)


@pytest.mark.parametrize("scale", [0.5, 1.0, 5.0])
def test_lbp_finds_a_face_where_it_is(scale):
    image, truth = astronaut()
    found = face_detector("lbp")(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    assert max(overlap(face, scale * np.array(truth)) for face in found) > 0.5


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (8, 300), (200, 200)])
def test_lbp_finds_no_face_where_none_is(shape):
    assert face_detector("lbp")(np.full((*shape, 3), 99, np.uint8)) == []


def published_name(key: str, layers: int) -> str:
    """The name that a tensor has in the published files."""
    part, layer, kind = key.split(".")
    return f"{layer}.{kind}" if part == "body" else f"{'dense' if layers > 3 else 'conv'}{layers}_{int(layer) + 1}.{kind}"


@pytest.fixture
def weights(tmp_path):
    """Files of random weights as they are published."""
    for name, layers in (("pnet", 4), ("rnet", 5), ("onet", 6)):
        state = networks()[name].state_dict()
        torch.save({published_name(key, layers): value for key, value in state.items()}, tmp_path / f"{name}.pt")
    return tmp_path


def test_published_weights_are_loaded_and_give_maps_and_vectors(weights):
    propose, refine, decide = load_networks(weights)
    assert [tuple(each.shape) for each in propose(torch.zeros(2, 3, 12, 18))] == [(2, 1, 4), (2, 4, 1, 4)]
    assert [tuple(each.shape) for each in refine(torch.zeros(5, 3, 24, 24))] == [(5, ), (5, 4)]
    assert [tuple(each.shape) for each in decide(torch.zeros(5, 3, 48, 48))] == [(5, ), (5, 4), (5, 10)]
    stored = torch.load(weights / "onet.pt", weights_only=True)
    assert torch.equal(decide.heads[1].weight, stored["dense6_2.weight"])


class Hostile:
    """Imports a module when it is unpickled."""

    def __reduce__(self):
        return __import__, ("canary.registry", )


@pytest.mark.parametrize("harm", ["missing", "cut", "hostile", "other"])
def test_weights_that_can_not_be_used_are_refused(weights, canary, harm):
    path = weights / "rnet.pt"
    if harm == "missing":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        torch.save(Hostile() if harm == "hostile" else torch.load(weights / "pnet.pt", weights_only=True), path)
    with pytest.raises(DataError, match="rnet.pt"):
        load_networks(weights)
    assert not canary.exists()


def match(images):
    """How much brighter the middle of 12 x 12 windows is than their rim: about 1.2 if a square fills it."""
    kernel = torch.full((1, 1, 12, 12), -1 / 80)
    kernel[..., 2:10, 2:10] = 1 / 64
    return 0.75 * conv2d(images.mean(1, keepdim=True), kernel, stride=2)[:, 0]


@pytest.fixture
def squares_for_faces(monkeypatch):
    """A cascade whose networks take bright squares on a dark ground, which fill 2/3 of a window, for faces."""

    def propose(images):
        found = match(images)
        return found, torch.zeros(len(images), 4, *found.shape[1:])

    def decide(images):
        return match(interpolate(images, (12, 12), mode="area"))[:, 0, 0], torch.zeros(len(images), 4)

    monkeypatch.setattr(mtcnn, "weights_folder", lambda: None)
    monkeypatch.setattr(mtcnn, "load_networks", lambda folder: (propose, decide, decide))
    monkeypatch.setattr(mtcnn.MTCNN, "shift", (0.0, 0.0))
    monkeypatch.setattr(mtcnn.MTCNN, "sides", (2 / 3, 2 / 3))
    return mtcnn.MTCNN()


@pytest.mark.parametrize("left, top, side", [(200, 60, 30), (100, 90, 160), (10, 10, 40), (330, 230, 60), (15, 3, 280)])
def test_the_cascade_finds_small_and_large_faces_where_they_are(squares_for_faces, left, top, side):
    image = np.full((300, 400, 3), 30, np.uint8)
    image[top:top + side, left:left + side] = 230
    face, = squares_for_faces(image)
    assert overlap(face, [left - 0.5, top - 0.5, left + side - 0.5, top + side - 0.5]) > 0.6


def test_the_cascade_finds_all_faces_largest_first(squares_for_faces):
    image = np.full((260, 420, 3), 30, np.uint8)
    for left, side in ((20, 40), (110, 90), (260, 60)):
        image[100:100 + side, left:left + side] = 230
    middles = [(face.left + face.right) / 2 for face in squares_for_faces(image)]
    assert [(110 < x < 200, 260 < x < 320, 20 < x < 60).index(True) for x in middles] == [0, 1, 2]


def test_the_cascade_looks_at_the_picture_rotated_if_it_finds_nothing(squares_for_faces, monkeypatch):
    corners = cv2.boxPoints(((150, 120), (80, 80), mtcnn.TURNS[0]))
    image = cv2.fillPoly(np.full((280, 340, 3), 30, np.uint8), [np.round(corners).astype(int)], (230, ) * 3)
    upright, seen = mtcnn.MTCNN._upright, []
    monkeypatch.setattr(mtcnn.MTCNN, "_upright",
                        lambda self, image: seen.append(image) or upright(self, image)[:len(seen) - 1])
    face, = squares_for_faces(image)
    assert len(seen) == 2 and overlap(face, [110, 80, 190, 160]) > 0.5  # around the square's inner circle


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (8, 300), (300, 7)])
def test_pictures_without_a_face_have_none(squares_for_faces, shape):
    assert squares_for_faces(np.full((*shape, 3), 99, np.uint8)) == []


needs_weights = pytest.mark.skipif(not list(importlib.metadata.Distribution.discover(name="facenet-pytorch")),
                                   reason="needs MTCNN's weights: pip install --no-deps facenet-pytorch")


@pytest.fixture
def people(real_data):
    """Photographs of faces and the boxes of their landmarks."""
    folder = real_data / "aflw2000_samples"
    if not folder.is_dir():
        pytest.skip(f"needs the photographs in {folder}")
    points = [loadmat(path.with_suffix(".mat"))["pt3d_68"][:2].T for path in sorted(folder.glob("*.jpg"))]
    images = [read_image(path).numpy() for path in sorted(folder.glob("*.jpg"))]
    return images, [[*each.min(0), *each.max(0)] for each in points]


@needs_weights
def test_mtcnn_finds_the_faces_of_photographs(people):
    detector = face_detector("mtcnn")
    for image, truth in zip(*people):
        assert overlap(detector(image)[0], truth) > 0.5


@needs_weights
def test_mtcnn_finds_all_faces_of_a_picture(people):
    images, boxes = people
    columns, side = 4, min(images[0].shape[:2])
    rows = len(images) // columns
    tiled = np.concatenate([np.concatenate(images[columns * r:columns * (r + 1)], 1) for r in range(rows)])
    faces = face_detector("mtcnn")(tiled)
    moved = [np.add(box, [k % columns * side, k // columns * side] * 2) for k, box in enumerate(boxes[:rows * columns])]
    assert len(faces) == len(moved) and all(max(overlap(face, box) for face in faces) > 0.5 for box in moved)


@needs_weights
@pytest.mark.parametrize("degrees", [-30, 30])
def test_mtcnn_finds_rotated_faces(people, degrees):
    images, boxes = people
    detector, found = face_detector("mtcnn"), 0
    for image, box in zip(images, boxes):
        middle = (image.shape[1] / 2, image.shape[0] / 2)
        rotation = cv2.getRotationMatrix2D(middle, degrees, 1)
        faces = detector(cv2.warpAffine(image, rotation, image.shape[1::-1]))
        centre = rotation @ [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1]
        found += any(face.left < centre[0] < face.right and face.top < centre[1] < face.bottom for face in faces)
    assert found >= 0.9 * len(images)


@pytest.mark.skipif(not hasattr(cv2, "CascadeClassifier"), reason="needs OpenCV below 5")
def test_haar_finds_most_faces_of_photographs(people):
    detector = Haar()
    found = sum(any(overlap(face, truth) > 0.4 for face in detector(image)) for image, truth in zip(*people))
    assert found >= 0.7 * len(people[0])
