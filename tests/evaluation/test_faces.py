"""NME of faces: the definitions' own values, and errors that are known."""

import numpy as np
import pytest
import torch

from deep3dmap.errors import ConfigError
from deep3dmap.evaluation.faces import FaceNME, eye_distance, nme, reconstruction_nme, yaw_bins
from deep3dmap.geometry.alignment import align_points
from deep3dmap.geometry.transforms import affine, transform_points
from deep3dmap.structures import Reconstruction
from deep3dmap.structures.uv_layout import UVLayout
from tests import goldens

GOLDEN = goldens.read("prnet/nme")
PREDICTED, TRUTH = goldens.tensor(GOLDEN["pred"]), goldens.tensor(GOLDEN["gt"])
BINS = (30, 60, 90)


def evaluated(metric=None, **changes):
    """The metric of the fixture's faces."""
    metric = metric or FaceNME()
    for k, yaw in enumerate(GOLDEN["yaw_deg"]):
        item = dict(name=str(k), landmarks=TRUTH[k], yaw=float(yaw)) | changes
        metric.add_item(item, Reconstruction(str(k), arrays=dict(landmarks=PREDICTED[k])))
    return metric


@pytest.mark.parametrize("key, columns", [("nme2d", 2), ("nme3d", 3)])
def test_the_error_of_each_face(key, columns):
    np.testing.assert_allclose(nme(PREDICTED[..., :columns], TRUTH[..., :columns]), GOLDEN[key], rtol=1e-9)


def test_bins_of_the_yaw_angle():
    bins = yaw_bins(GOLDEN["nme2d"].tolist(), GOLDEN["yaw_deg"].tolist(), BINS)
    np.testing.assert_allclose(bins, GOLDEN["nme2d_bins"], rtol=1e-9)


def test_the_limit_of_a_bin_belongs_to_the_next_one_and_the_last_limit_to_the_last_bin():
    assert yaw_bins([1, 2, 3, 4, 5], [-30, 29.9, 60, 90, 90.1], BINS) == [2, 1, 3.5]


def test_a_bin_without_faces_is_no_number():
    np.testing.assert_array_equal(yaw_bins([1, 2], [10, float("nan")], BINS), [1, np.nan, np.nan])


def test_the_metric_has_the_same_means():
    groups = evaluated().compute()
    assert groups["faces"]["nme68"] == pytest.approx(GOLDEN["nme2d_mean_all"])
    by_yaw = groups["faces by yaw"]
    assert by_yaw["nme68@bins"] == pytest.approx(GOLDEN["nme2d_mean_of_bins"])
    for label, value in zip(("0-30", "30-60", "60-90"), GOLDEN["nme2d_bins"]):
        assert by_yaw[f"nme68@{label}"] == pytest.approx(value)
    assert groups["faces"]["faces"] == len(TRUTH)


def test_the_similarity_and_the_error_that_it_leaves():
    matrix = align_points(PREDICTED[0], TRUTH[0])
    expected = affine(goldens.tensor(GOLDEN["align_s"] * GOLDEN["align_R"]), torch.zeros(3))[:3, :3]
    torch.testing.assert_close(matrix[:3, :3], expected, atol=1e-9, rtol=0)
    np.testing.assert_allclose(transform_points(matrix, PREDICTED[0]), GOLDEN["aligned0"], atol=1e-6)
    error = reconstruction_nme(PREDICTED[0], TRUTH[0], eye_distance(TRUTH[0]))
    assert float(error) == pytest.approx(float(GOLDEN["rec_nme_interocular"]))


def test_every_value_is_declared_and_none_is_missing():
    metric = evaluated()
    figures = metric.compute()
    values = {name.partition("@")[0] for group in figures.values() for name in group}
    assert values == set(FaceNME.names) - {"nme_dense", "nme_dense_3d", "nme_reconstruction_dense"}
    assert not set(FaceNME.names) & set(FaceNME.higher_is_better)


def test_a_shift_of_the_inner_points_alone():
    predicted, truth = TRUTH[0].clone(), TRUTH[0]
    predicted[17:, 0] += 3
    metric = FaceNME()
    found = metric.add_item(dict(landmarks=truth), Reconstruction("a", arrays=dict(landmarks=predicted)))
    width, height = (truth.amax(0) - truth.amin(0))[:2].tolist()
    assert found["nme51"] == pytest.approx(3 / (width * height)**0.5)
    assert found["nme68"] == pytest.approx(51 / 68 * found["nme51"])


def test_the_origin_of_z_does_not_matter_and_its_values_do():
    truth = TRUTH[0]
    moved, wrong = truth + torch.tensor([0.0, 0.0, 100.0]), truth * torch.tensor([1.0, 1.0, 2.0])
    errors = [
        FaceNME().add_item(dict(landmarks=truth), Reconstruction("a", arrays=dict(landmarks=points)))
        for points in (moved, wrong)
    ]
    assert errors[0]["nme68_3d"] == pytest.approx(0, abs=1e-6) and errors[1]["nme68_3d"] > 0.01
    assert errors[1]["nme68"] == pytest.approx(0, abs=1e-9)


def test_landmarks_without_depth_are_measured_in_the_image_alone():
    item = dict(landmarks=TRUTH[0, :, :2].float().numpy())
    found = FaceNME().add_item(item, Reconstruction("a", arrays=dict(landmarks=PREDICTED[0].float())))
    assert set(found) == {"nme68", "nme51"}
    assert found["nme68"] == pytest.approx(GOLDEN["nme2d"][0], rel=1e-4)


def position_map(layout):
    """A smooth map in pixels."""
    column = torch.linspace(0, 1, layout.size).expand(layout.size, layout.size)
    return torch.stack([100 * column, 150 * column.T, 40 * (3 * column).sin() * (2 * column.T).cos()])


def test_dense_errors_where_the_true_position_map_is_known():
    layout = UVLayout.load("ict", 128)
    truth = position_map(layout)
    predicted = truth + torch.tensor([3.0, 4.0, 12.0])[:, None, None]
    item = dict(position_map=truth, landmarks=layout.landmark_points(truth))
    result = Reconstruction("a", arrays=dict(landmarks=layout.landmark_points(predicted), vertices=layout.vertices(predicted)))
    found = FaceNME().add_item(item, result)
    vertices = layout.vertices(truth)
    width, height = (vertices.amax(0) - vertices.amin(0))[:2].tolist()
    size = (width * height)**0.5
    assert found["nme_dense"] == pytest.approx(5 / size) == found["nme_dense_3d"]
    assert found["nme_reconstruction_dense"] == pytest.approx(0, abs=1e-6)
    assert set(found) == set(FaceNME.names) - {"faces"}


def test_another_layout_than_the_truth_s_is_refused():
    truth = position_map(UVLayout.load("ict", 128))
    arrays = dict(landmarks=PREDICTED[0], vertices=torch.zeros(5, 3))
    with pytest.raises(ConfigError, match="layout='ict'"):
        FaceNME().add_item(dict(position_map=truth, landmarks=TRUTH[0]), Reconstruction("a", arrays=arrays))


def test_coinciding_points_have_no_shape():
    result = Reconstruction("a", arrays=dict(landmarks=torch.zeros(68, 3)))
    found = FaceNME().add_item(dict(landmarks=TRUTH[0]), result)
    assert np.isnan(found["nme_reconstruction"]) and found["nme68"] > 0


def test_items_without_truth_and_results_without_landmarks_are_not_measured():
    metric = FaceNME()
    assert metric.add_item(dict(name="a"), Reconstruction("a", arrays=dict(landmarks=PREDICTED[0]))) == {}
    assert metric.add_item(dict(landmarks=TRUTH[0]), Reconstruction("a")) == {}
    assert metric.compute() == {} and metric.notes() == []


def test_faces_without_yaw_are_in_no_bin():
    metric = FaceNME()
    metric.add_item(dict(landmarks=TRUTH[0]), Reconstruction("a", arrays=dict(landmarks=PREDICTED[0])))
    assert set(metric.compute()) == {"faces"}


def test_faces_beyond_the_last_bin_are_noted():
    metric = evaluated(FaceNME((10, 20)), yaw=-25.0)
    assert set(metric.compute()) == {"faces"} and str(len(TRUTH)) in metric.notes()[0]


@pytest.mark.parametrize("bins", [(), (60, 30), (30, 30)])
def test_bins_that_do_not_ascend_are_refused(bins):
    with pytest.raises(ConfigError, match="bins"):
        FaceNME(bins)
