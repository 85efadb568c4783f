"""What views show of a placed head."""

from dataclasses import replace

import pytest
import torch

from deep3dmap.errors import DataError
from deep3dmap.frameworks.h3dnet.outline_fit import GridShape
from deep3dmap.frameworks.h3dnet.view_checks import ViewReport, check_views, faces_seen, picture_overlaps, view_reports
from tests.frameworks.h3dnet.balls import MEAN, cameras, decoder, masks, placement

TRUE = placement()
SHAPE = GridShape(lambda points: decoder(MEAN[None], points[None])[0])
NAMES = ["front", "left", "right"]


def shifted(pixels: float):
    """The cameras with the picture's content moved down: what is too low falls off."""
    views = cameras(TRUE)
    K = views.K.clone()
    K[:, 1, 2] += pixels
    return replace(views, K=K)


def test_cameras_within_eighty_degrees_of_the_front_see_the_face():
    views = cameras(TRUE, (0.0, 60.0, -70.0, 100.0, 180.0, -95.0))
    assert faces_seen(TRUE, views).tolist() == [True, True, True, False, False, False]


def test_the_overlap_of_a_head_with_its_own_masks_is_nearly_one_and_falls_as_it_moves():
    views = cameras(TRUE)
    shown = masks(TRUE, views, MEAN)
    moved = replace(TRUE, translation=TRUE.translation + torch.tensor([0.1, 0.0, 0.0]))
    assert picture_overlaps(SHAPE, TRUE, views, shown).min() > 0.96
    assert picture_overlaps(SHAPE, moved, views, shown).max() < 0.9


def test_a_whole_head_is_reported_whole():
    views = cameras(TRUE)
    for report in view_reports(SHAPE, TRUE, views, masks(TRUE, views, MEAN), NAMES):
        assert report.sees_face and report.outside_picture == 0 and report.outside_mask < 0.01


def test_what_the_border_cuts_off_is_measured_and_blamed_on_the_picture():
    views = shifted(-60.0)
    whole = masks(TRUE, shifted(0.0), MEAN).sum((1, 2))
    cut = 1 - masks(TRUE, views, MEAN).sum((1, 2)) / whole
    reports = view_reports(SHAPE, TRUE, views, masks(TRUE, views, MEAN), NAMES, neck=-1.0)
    assert [r.outside_picture for r in reports] == pytest.approx(cut.tolist(), abs=0.03) and cut.min() > 0.2
    assert max(r.outside_mask for r in reports) < 0.01
    assert [problem.split(":")[0] for problem in check_views(reports)] == NAMES


def test_what_a_mask_leaves_out_is_measured_by_view():
    views = cameras(TRUE)
    shown = masks(TRUE, views, MEAN)
    share = shown[1, :42].sum() / shown[1].sum()  # the cut, less the three rows next to it that masks may be off by
    shown[1, :45] = False
    reports = view_reports(SHAPE, TRUE, views, shown, NAMES, neck=-1.0)
    assert reports[1].outside_mask == pytest.approx(float(share), abs=0.04) and share > 0.1
    assert max(reports[0].outside_mask, reports[2].outside_mask) < 0.01


def test_a_neck_may_be_cut():
    views = cameras(TRUE)
    shown = masks(TRUE, views, MEAN)
    shown[:, 95:] = False
    assert max(r.outside_mask for r in view_reports(SHAPE, TRUE, views, shown, NAMES)) < 0.02
    assert max(r.outside_mask for r in view_reports(SHAPE, TRUE, views, shown, NAMES, neck=-1.0)) > 0.02


def test_views_that_see_no_face_or_masks_that_leave_too_much_out_are_refused_and_good_views_pass():
    with pytest.raises(DataError, match="no view sees the face: all 2"):
        check_views([ViewReport(name, False, 0.0, 0.0) for name in "ab"])
    with pytest.raises(DataError, match="b.png: its mask cuts off 40% of the head"):
        check_views([ViewReport("a.png", True, 0.0, 0.0), ViewReport("b.png", True, 0.0, 0.4)])
    assert check_views([ViewReport("a.png", True, 0.02, 0.01), ViewReport("b.png", False, 0.0, 0.0)]) == ()


@pytest.mark.parametrize("given, said", [(False, "provide landmarks"), (True, "check masks and landmarks")])
def test_who_gave_landmarks_is_not_asked_for_them(given, said):
    for report in (ViewReport("a.png", False, 0.0, 0.0), ViewReport("a.png", True, 0.0,
                                                                    0.4), ViewReport("a.png", True, 0.7, 0.0)):
        with pytest.raises(DataError, match=f"(wrong way round|misplaced): {said}"):
            check_views([report], given)
