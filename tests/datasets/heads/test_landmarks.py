import json
from dataclasses import replace

import pytest
import torch

from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import load_capture, save_capture, scan_capture
from deep3dmap.datasets.captures.ray_batches import RayBatches
from deep3dmap.datasets.heads.landmarks import read_landmark_file, write_landmark_file
from deep3dmap.errors import DataError
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS
from tests.datasets.heads.marked import head_capture, head_marks, head_points, named, save_head, swap_sides

POINTS = head_points(3)
LANDMARKS = named(POINTS)


def together(landmarks):
    return torch.stack([landmarks[name] for name in HEAD_LANDMARKS])


def write(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def test_what_is_written_is_read_again(tmp_path):
    marks = {"a b": {"nose_tip": (1.25, 2.5)}}
    file = read_landmark_file(write_landmark_file(tmp_path / "landmarks.json", LANDMARKS, marks))
    assert torch.equal(together(file.landmarks), POINTS) and file.marks == marks
    file = read_landmark_file(write_landmark_file(tmp_path / "landmarks.json", marks=marks))
    assert file.landmarks is None and file.marks == marks


def test_null_stands_for_a_landmark_that_is_not_there(tmp_path):
    file = read_landmark_file(write(tmp_path / "m.json", {"marks": {"v": {"nose_tip": None, "nose_base": [1, 2]}}}))
    assert file.marks == {"v": {"nose_base": (1.0, 2.0)}}


@pytest.mark.parametrize("document, message", [
    ("", "can't be read as JSON"),
    ("[]", "expected an object with 'landmarks' or 'marks', got a list"),
    ("{}", "neither 'landmarks' nor 'marks'"),
    ('{"landmarks": {}, "landmarks": {}}', "duplicate key 'landmarks'"),
    ({"landmarks": {"nose": [0, 0, 0]}}, "no landmark 'nose': did you mean"),
    ({"landmarks": {"nose_tip": [0, 0]}}, "nose_tip: expected numbers of shape \\(3,\\)"),
    ('{"landmarks": {"nose_tip": [0, 0, NaN]}}', "nose_tip is .*not finite"),
    ({"marks": {"v": {"nose_tip": ["a", 0]}}}, "view 'v': nose_tip: expected numbers"),
    ({"marks": {"v": [1, 2]}}, "view 'v': expected an object with landmarks by name"),
])  # yapf: disable
def test_what_is_no_file_of_landmarks_is_refused_by_name(tmp_path, document, message):
    with pytest.raises(DataError, match=message) as error:
        read_landmark_file(write(tmp_path / "landmarks.json", document))
    assert str(tmp_path / "landmarks.json") in str(error.value)


@pytest.mark.parametrize("format", ["idr", "middlebury", "transforms", "colmap"])
def test_every_format_keeps_the_landmarks_of_a_capture(tmp_path, format):
    save_capture(replace(head_capture(), landmarks=LANDMARKS), tmp_path / "new", format)
    capture = load_capture(tmp_path / "new")
    assert torch.equal(together(capture.landmarks), POINTS)
    assert torch.equal(together(capture.subset([1]).landmarks), POINTS)
    assert load_capture(tmp_path / "new", landmarks=False).landmarks is None


@pytest.mark.parametrize("format", ["idr", "middlebury", "transforms", "colmap"])
def test_marks_are_triangulated_with_all_cameras_also_when_few_views_are_read(tmp_path, format):
    capture = save_head(tmp_path / "new", format)
    write_landmark_file(tmp_path / "new" / "landmarks.json", marks=head_marks(capture, POINTS))
    found = load_capture(tmp_path / "new", ["view_1"]).landmarks
    torch.testing.assert_close(together(found), POINTS, rtol=0, atol=1e-6)


def test_marks_belong_to_the_straightened_photographs(tmp_path):
    """What a capture's cameras see is where the marks are, also where the files hold distorted photographs."""
    save_head(tmp_path / "new")
    path = tmp_path / "new" / "transforms.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(k1=-3.0, p2=0.05)))
    capture = load_capture(tmp_path / "new")
    write_landmark_file(tmp_path / "new" / "landmarks.json", marks=head_marks(capture, POINTS))
    assert not torch.allclose(capture.cameras.K, head_capture().cameras.K)
    torch.testing.assert_close(together(load_capture(tmp_path / "new").landmarks), POINTS, rtol=0, atol=1e-6)


def test_a_capture_without_the_file_has_no_landmarks(tmp_path):
    save_head(tmp_path / "new")
    assert load_capture(tmp_path / "new").landmarks is None


def test_wrong_landmarks_beside_a_capture_are_reported_by_reading_and_by_checking(tmp_path):
    capture = save_head(tmp_path / "new")
    path = tmp_path / "new" / "landmarks.json"
    write_landmark_file(path, marks=swap_sides(head_marks(capture, POINTS), "view_1"))
    with pytest.raises(DataError, match="landmarks.json: right and left are swapped in view 'view_1'"):
        load_capture(tmp_path / "new")
    report = check_capture(tmp_path / "new")
    assert [e for e in report.errors if "landmarks.json: right and left are swapped in view 'view_1'" in e]
    path.unlink()
    write_landmark_file(path, {n: LANDMARKS[n] for n in HEAD_LANDMARKS[:3]})
    with pytest.raises(DataError, match="landmarks.json: 3 landmarks"):
        load_capture(tmp_path / "new")


def test_checking_a_folder_counts_its_landmarks(tmp_path):
    save_capture(replace(head_capture(), landmarks=LANDMARKS), tmp_path / "new", "transforms")
    assert "landmarks     6 of a head" in check_capture(tmp_path / "new").to_text()


def test_checking_tells_landmarks_in_another_unit(tmp_path):
    save_capture(replace(head_capture(), landmarks=LANDMARKS), tmp_path / "new", "transforms")
    assert not [w for w in check_capture(tmp_path / "new").warnings if "landmarks" in w]
    write_landmark_file(tmp_path / "new" / "landmarks.json", {n: p / 1000 for n, p in LANDMARKS.items()})
    report = check_capture(tmp_path / "new")
    assert report.ok and "new/landmarks.json: seen from the cameras, the landmarks are nearly one point" in report.to_text()


def test_the_overlay_is_no_photograph_without_a_camera(tmp_path):
    for format in ("middlebury", "colmap"):
        save_head(tmp_path / format, format)
        (tmp_path / format / "landmarks.png").write_bytes((tmp_path / "middlebury" / "view_0.png").read_bytes())
        assert not [w for w in scan_capture(tmp_path / format)[1].warnings if "landmarks.png" in w]


def test_frameworks_get_the_landmarks_in_the_world(tmp_path):
    some = {n: LANDMARKS[n] for n in HEAD_LANDMARKS if n != "nose_base"}
    save_capture(replace(head_capture(), landmarks=some), tmp_path / "new", "transforms")
    scene = dict(capture=dict(type="FolderCapture", path=str(tmp_path / "new")), normalization="hull")
    info = RayBatches(scene, rays=4).info()
    assert info["landmarks"].dtype == torch.float64 and info["landmarks"][3].isnan().all()
    torch.testing.assert_close(info["landmarks"][[0, 1, 2, 4, 5]], POINTS[[0, 1, 2, 4, 5]])
    save_capture(head_capture(), tmp_path / "without", "transforms")
    assert "landmarks" not in RayBatches(dict(scene, capture=dict(type="FolderCapture",
                                                                  path=str(tmp_path / "without")))).info()
