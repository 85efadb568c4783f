"""`deep3dmap landmarks`: a page, then marks to landmarks beside the capture."""

import json

import pytest
import torch
from PIL import Image

from deep3dmap.apis.prepare.landmarks import make_marking_page, save_landmarks
from deep3dmap.cli import app as cli
from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.datasets.heads.landmarks import read_landmark_file, write_landmark_file
from deep3dmap.errors import DataError
from tests.datasets.heads.marked import head_marks, head_points, named, save_head, swap_sides

POINTS = head_points(3)


@pytest.fixture
def head(tmp_path):
    """A folder with a head's capture, and the file that the page would download."""
    capture = save_head(tmp_path / "head", "middlebury")
    return tmp_path / "head", write_landmark_file(tmp_path / "marks.json", marks=head_marks(capture, POINTS, noise=1.0))


def run(*arguments) -> int:
    return cli.main(["landmarks", *map(str, arguments)])


def test_the_command_writes_a_page_with_the_photographs(head, tmp_path, capsys):
    assert run(head[0], "--page", tmp_path / "page.html", "--views", "view_2", "view_0") == 0
    text = (tmp_path / "page.html").read_text()
    assert text.count("data:image/jpeg") == 2 and "--marks marks.json" in text and '"width": 400, "height": 480' in text
    assert "page.html: open it in a browser" in capsys.readouterr().out


def test_the_page_begins_with_the_marks_that_are_known(head, tmp_path):
    write_landmark_file(head[0] / "landmarks.json", marks={"view_1": {"nose_tip": (12.5, 30.25)}})
    page = make_marking_page(head[0], tmp_path / "page.html")
    assert '"marks": {"view_1": {"nose_tip": [12.5, 30.25]}}' in page.read_text()


def test_marks_become_landmarks_beside_the_capture_with_a_table_and_an_overlay(head, capsys):
    folder, marks = head
    assert run(folder, "--marks", marks) == 0
    out = capsys.readouterr().out
    assert "nose_tip" in out and "6 landmarks written to landmarks.json" in out
    landmarks = load_capture(folder).landmarks
    assert all((landmarks[name] - point).norm() < 3 for name, point in named(POINTS).items())
    assert read_landmark_file(folder / "landmarks.json").marks["view_0"].keys() == landmarks.keys()
    with Image.open(folder / "landmarks.png") as overlay:
        assert overlay.size == (3 * 420, 442)
    report = check_capture(folder)
    assert report.landmarks == 6 and not [w for w in report.warnings if "landmarks.png" in w]


def test_landmarks_that_are_there_are_replaced_only_by_force(head, capsys):
    folder, marks = head
    write_landmark_file(folder / "landmarks.json", named(torch.zeros(6, 3).double()))
    before = (folder / "landmarks.json").read_text()
    assert run(folder, "--marks", marks) == 1
    assert "landmarks.json: already exists; use --force" in capsys.readouterr().err
    assert (folder / "landmarks.json").read_text() == before and not (folder / "landmarks.png").exists()
    assert run(folder, "--marks", marks, "--force") == 0
    assert (load_capture(folder).landmarks["nose_tip"] - POINTS[2]).norm() < 3


def test_what_one_view_alone_marks_is_logged(head):
    folder, marks = head
    document = json.loads(marks.read_text())
    del document["marks"]["view_0"]["nose_base"], document["marks"]["view_2"]["nose_base"]
    marks.write_text(json.dumps(document))
    logged = []
    save_landmarks(folder, marks, log=logged.append)
    assert logged[-1].startswith("warning: nose_base is marked in view 'view_1' only")


def test_marks_that_are_wrong_write_nothing(head):
    folder, marks = head
    write_landmark_file(marks, marks=swap_sides(read_landmark_file(marks).marks, "view_2"))
    with pytest.raises(DataError, match="marks.json: right and left are swapped in view 'view_2'"):
        save_landmarks(folder, marks)
    write_landmark_file(marks, named(POINTS))
    with pytest.raises(DataError, match="marks.json: holds no marks"):
        save_landmarks(folder, marks)
    assert not (folder / "landmarks.json").exists() and not (folder / "landmarks.png").exists()
