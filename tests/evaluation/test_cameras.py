"""Camera errors against IDR's own evaluation and against motions that are known."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from deep3dmap.evaluation.cameras import camera_errors, camera_metrics


def cameras(count=9):
    rng = np.random.default_rng(0)
    return torch.tensor(Rotation.random(count, rng=rng).as_matrix()), torch.tensor(rng.normal(size=(count, 3)))


def test_means_are_those_of_idr_s_evaluation(goldens):
    z = goldens("idr/metrics")
    metrics = camera_metrics(*(torch.tensor(z[f"cameras/{name}"]) for name in ("pred_R", "pred_t", "gt_R", "gt_t")))
    assert metrics["rotation_error_mean_deg"] == pytest.approx(float(z["cameras/R_error_mean_deg"]), rel=1e-4)
    assert metrics["center_error_mean"] == pytest.approx(float(z["cameras/t_error_mean"]), rel=1e-4)


def test_each_camera_s_error_is_that_of_idr_s_aligned_cameras(goldens):
    z = goldens("idr/metrics")
    degrees, distances = camera_errors(*(torch.tensor(z[f"cameras/{name}"]) for name in ("pred_R", "pred_t", "gt_R", "gt_t")))
    angles = Rotation.from_matrix(z["cameras/R_fixed"] @ z["cameras/gt_R"].transpose(0, 2, 1)).magnitude()
    assert degrees.numpy() == pytest.approx(np.rad2deg(angles), rel=1e-4)
    expected = np.linalg.norm(z["cameras/t_fixed"] - z["cameras/gt_t"], axis=1)
    size = np.linalg.norm(z["cameras/gt_t"], axis=1).max()  # the reference's solver is good to 1e-4 of this, not of the errors
    assert distances.numpy() == pytest.approx(expected, rel=0, abs=1e-5 * size)


def test_a_similarity_costs_nothing():
    R, c = cameras()
    turn = torch.tensor(Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix())
    metrics = camera_metrics(turn @ R, 2.5 * c @ turn.T + torch.tensor([1.0, 2.0, 3.0]), R, c)
    assert list(metrics.values()) == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_one_centre_that_is_off_does_not_pull_the_others_along():
    R, c = cameras()
    moved = c.clone()
    moved[0] += torch.tensor([0.0, 0.9, 0.0])
    metrics = camera_metrics(R, moved, R, c)
    assert metrics["center_error_mean"] == pytest.approx(0.1, abs=1e-4)
    assert metrics["center_error_median"] < 1e-4


def test_rotation_errors_are_in_degrees():
    R, c = cameras()
    wrong = R.clone()
    wrong[0] = torch.tensor(Rotation.from_rotvec([0, 0, np.deg2rad(9)]).as_matrix()) @ R[0]
    metrics = camera_metrics(wrong, c, R, c)
    assert metrics["rotation_error_median_deg"] == pytest.approx(1, abs=0.1)  # the fitted rotation gives way by a ninth
    assert metrics["rotation_error_mean_deg"] == pytest.approx(16 / 9, abs=0.1)


def test_cameras_without_partners_are_refused():
    R, c = cameras()
    with pytest.raises(ValueError, match="pairs"):
        camera_metrics(R[1:], c[1:], R, c)
