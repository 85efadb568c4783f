import pytest
import torch

from deep3dmap.datasets.captures.formats import scan_capture
from deep3dmap.datasets.heads.landmark_marks import place_marks
from deep3dmap.errors import DataError
from deep3dmap.structures.head_landmarks import HEAD_LANDMARKS
from tests.datasets.heads.marked import head_capture, head_marks, head_points, save_head, swap_sides

POINTS = head_points(3)
FIVE = (0, -35, 40, -60, 65)


@pytest.fixture
def scan_of(tmp_path):
    """The scan of a saved head of the given views."""

    def build(azimuths=(0, -35, 40), **kwargs):
        save_head(tmp_path / "head", azimuths=azimuths, **kwargs)
        return scan_capture(tmp_path / "head")[1]

    return build


def refused(marks, scan, message):
    with pytest.raises(DataError, match=message) as error:
        place_marks(marks, scan, "marks.json")
    assert str(error.value).startswith("marks.json: ")


@pytest.mark.parametrize("azimuths", [(0, 40), (0, -35, 40), FIVE])
def test_marks_give_the_landmarks_back(scan_of, azimuths):
    placed = place_marks(head_marks(head_capture(azimuths), POINTS), scan_of(azimuths), "marks.json")
    torch.testing.assert_close(torch.stack(list(placed.landmarks.values())), POINTS, rtol=0, atol=1e-6)
    torch.testing.assert_close(placed.seen, placed.uv, rtol=0, atol=1e-6)
    assert tuple(placed.landmarks) == HEAD_LANDMARKS and placed.errors.max() < 1e-6 and not placed.warnings


def test_careless_marks_pass_and_their_errors_are_reported(scan_of):
    placed = place_marks(head_marks(head_capture(FIVE), POINTS, noise=3.0), scan_of(FIVE), "marks.json")
    found = torch.stack(list(placed.landmarks.values()))
    assert (found - POINTS).norm(dim=1).max() < 6
    assert 1 < placed.errors.mean() < 5
    lines = placed.lines()
    assert len(lines) == 7 and all(name in line for name, line in zip(HEAD_LANDMARKS, lines[1:]))


def test_landmarks_that_one_view_marks_are_omitted_with_a_warning(scan_of):
    marks = head_marks(head_capture(), POINTS)
    del marks["view_0"]["left_lips"], marks["view_1"]["left_lips"]
    placed = place_marks(marks, scan_of(), "marks.json")
    assert "left_lips" not in placed.landmarks and placed.warnings[0].startswith("left_lips is marked in view 'view_2' only")
    assert "not placed" in placed.lines()[6]


def test_too_few_landmarks_in_two_views_are_counted(scan_of):
    marks = head_marks(head_capture(), POINTS)
    refused({"view_0": marks["view_0"]}, scan_of(),
            "0 landmarks are marked in two or more of the 1 marked views.*nose_tip in 1")


def test_unknown_views_and_landmarks_are_named(scan_of):
    marks, scan = head_marks(head_capture(), POINTS), scan_of()
    refused({"view_7": marks["view_0"]}, scan, "no view 'view_7'.*did you mean 'view_")
    refused({"view_0": {"nose": (1.0, 2.0)}}, scan, "view 'view_0': no landmark 'nose'")
    refused(marks | {"view_0.png": marks["view_0"]}, scan, "view 'view_0' are given twice")


@pytest.mark.parametrize("uv", [(-1.0, 50.0), (50.0, 481.0), (401.0, 50.0)])
def test_a_mark_outside_its_image_is_named(scan_of, uv):
    marks = head_marks(head_capture(), POINTS)
    marks["view_1"]["nose_tip"] = uv
    refused(marks, scan_of(), "view 'view_1': nose_tip is marked at .* outside the image of 400x480")


@pytest.mark.parametrize("azimuths, doubtful", [((0, -35, 40), True), (FIVE, False)])
def test_a_mark_that_the_other_views_contradict_is_named_and_among_three_another_may_be_wrong(scan_of, azimuths, doubtful):
    marks = head_marks(head_capture(azimuths), POINTS)
    u, v = marks["view_1"]["nose_tip"]
    marks["view_1"]["nose_tip"] = (u + 10, v + 45)
    with pytest.raises(DataError, match="^marks.json: view 'view_1': nose_tip is marked 4[0-9] pixels from where") as error:
        place_marks(marks, scan_of(azimuths), "marks.json")
    assert ("another view's mark may be the wrong one" in str(error.value)) == doubtful


@pytest.mark.parametrize("azimuths, views", [((0, -35, 40), [0]), ((0, -35, 40), [1]), ((0, -35, 40), [0, 2]), (FIVE, [3]),
                                             (FIVE, [1, 4]), (FIVE, [0, 2, 3]), ((0, 40), [1])])
def test_views_with_right_and_left_swapped_are_named(scan_of, azimuths, views):
    marks = head_marks(head_capture(azimuths), POINTS, noise=1.0)
    for view in views:
        marks = swap_sides(marks, f"view_{view}")
    told = ", ".join(f"'view_{v}'" for v in views)
    refused(marks, scan_of(azimuths), f"right and left are swapped in views? {told}\\. Right and left are the subject's")


def test_views_at_one_height_with_a_swap_are_reported_as_well(scan_of):
    marks = swap_sides(head_marks(head_capture(heights=(0.0, 0.0, 0.0)), POINTS), "view_2")
    refused(marks, scan_of(heights=(0.0, 0.0, 0.0)), "right and left are swapped in view 'view_2'")


def test_eyes_or_lips_swapped_alone_are_reported(scan_of):
    marks, scan = head_marks(head_capture(), POINTS), scan_of()
    refused(swap_sides(marks, "view_1", "eye"), scan, "right_eye and left_eye are swapped in view 'view_1'")
    refused(swap_sides(marks, "view_2", "lips"), scan, "right_lips and left_lips are swapped in view 'view_2'")


@pytest.mark.parametrize("left_out", [(), ("nose_tip", "nose_base")])
def test_right_and_left_swapped_everywhere_are_reported(scan_of, left_out):
    """Without the nose the landmarks lie in a plane: only that the face would look away gives it away."""
    marks = head_marks(head_capture(), POINTS)
    for view in marks:
        marks = swap_sides(marks, view)
        marks[view] = {n: uv for n, uv in marks[view].items() if n not in left_out}
    refused(marks, scan_of(), "right and left are swapped in every view")


def test_a_view_whose_camera_is_not_sound_is_refused(scan_of):
    scan = scan_of()
    scan.frames[1].K[0, 0] = -5
    with pytest.raises(DataError, match="focal lengths must be positive"):
        place_marks(head_marks(head_capture(), POINTS), scan, "marks.json")
