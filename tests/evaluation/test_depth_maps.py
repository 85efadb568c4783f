"""Depth maps: the reference's numbers, and maps whose errors are known."""

import numpy as np
import pytest

from deep3dmap.evaluation.depth_maps import NAMES, depth_metrics

REFERENCE = dict(abs_rel="AbsRel", abs_diff="AbsDiff", sq_rel="SqRel", rmse="RMSE", log_rmse="LogRMSE")


@pytest.mark.parametrize("name", NAMES)
def test_the_errors_match_the_references(goldens, name):
    golden = goldens("neuralrecon/evaluation")
    figures = depth_metrics(golden["depth_pred"], golden["depth_trgt"])
    assert figures[name] == pytest.approx(float(golden[f"depth_{REFERENCE.get(name, name)}"]), rel=1e-6, abs=1e-6)


def test_the_errors_of_a_depth_too_large_by_a_third_are_known():
    figures = depth_metrics(np.full((3, 4), 4.0), np.full((3, 4), 3.0))
    expected = dict(abs_rel=1 / 3, abs_diff=1, sq_rel=1 / 3, rmse=1, log_rmse=np.log(4 / 3), r1=0, r2=1, r3=1, complete=1)
    assert figures == pytest.approx(expected)


def test_pixels_without_either_depth_or_beyond_the_limit_do_not_count():
    predicted, truth = np.full((1, 8), 2.0), np.full((1, 8), 2.0)
    predicted[0, 0], truth[0, 1], truth[0, 2], truth[0, 3] = 0, 0, 6, 3
    figures = depth_metrics(predicted, truth, max_depth=5.0)
    assert figures["abs_diff"] == pytest.approx(1 / 5) and figures["complete"] == pytest.approx(7 / 8)


def test_maps_without_a_pixel_in_common_have_no_errors_but_a_completeness():
    figures = depth_metrics(np.array([[1.0, 0, 0, 0]]), np.array([[0, 1.0, 1.0, 1.0]]))
    assert figures.pop("complete") == 0.25 and np.isnan(list(figures.values())).all()
