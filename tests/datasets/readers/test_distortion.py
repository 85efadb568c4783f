import cv2
import numpy as np
import pytest

from deep3dmap.datasets.readers.distortion import Distortion, resample, undistortion

K = np.array([[60.0, 0, 41.3], [0, 57.0, 30.8], [0, 0, 1]])
SIZE = (64, 80)
LENSES = [Distortion(0.06, -0.08, -0.001, 0.0002), Distortion(-0.2, 0.03, 0.002, -0.003, 0.01), Distortion(k1=0.15)]


def opencv(distortion):
    return np.array([distortion.k1, distortion.k2, distortion.p1, distortion.p2, distortion.k3])


@pytest.mark.parametrize("lens", LENSES)
def test_distorted_coordinates_are_those_of_opencv(lens):
    xy = np.random.default_rng(0).uniform(-0.6, 0.6, (40, 2))
    points = np.concatenate([xy, np.ones((40, 1))], 1)
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), opencv(lens))
    np.testing.assert_allclose(lens.apply(xy), expected[:, 0], atol=1e-12)


@pytest.mark.parametrize("lens", LENSES)
def test_the_map_of_pixels_is_that_of_opencv(lens):
    zoomed, source = undistortion(K, lens, SIZE)
    half = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # OpenCV counts the first pixel's centre as 0
    expected = cv2.initUndistortRectifyMap(K - half, opencv(lens), None, zoomed - half, SIZE[::-1], cv2.CV_32FC2)[0]
    np.testing.assert_allclose(source, expected, atol=1e-3)


@pytest.mark.parametrize("lens", LENSES)
def test_no_pixel_looks_outside_the_image_and_hardly_any_is_lost(lens):
    zoomed, source = undistortion(K, lens, SIZE)
    assert source.min() >= -1e-4 and (source.max((0, 1)) <= np.array([79.0001, 63.0001])).all()
    sides = [source[0, :, 1], 63 - source[-1, :, 1], source[:, 0, 0], 79 - source[:, -1, 0]]
    closest = np.concatenate(sides).min()
    assert closest < 0.15
    assert (zoomed[0, 0] >= K[0, 0]) == (lens.k1 > 0)  # a barrel is stretched and so seen from farther away


def test_a_point_of_light_is_found_where_the_pinhole_camera_sees_it():
    lens = LENSES[1]
    ray = np.array([0.4, -0.3, 1.0])
    (seen, ), _ = cv2.projectPoints(ray[None], np.zeros(3), np.zeros(3), K, opencv(lens))
    v, u = np.mgrid[:64, :80] + 0.5
    image = (255 * np.exp(-((u - seen[0, 0])**2 + (v - seen[0, 1])**2) / 3)).astype(np.float32)
    zoomed, source = undistortion(K, lens, SIZE)
    straight = resample(image, source)
    centroid = np.array([(straight * u).sum(), (straight * v).sum()]) / straight.sum()
    np.testing.assert_allclose(centroid, (zoomed @ ray)[:2], atol=0.05)
    assert np.linalg.norm(seen[0] - (K @ ray)[:2]) > 1  # the lens did move it


def test_no_distortion_is_false_and_changes_nothing():
    zoomed, source = undistortion(K, Distortion(), SIZE)
    v, u = np.mgrid[:64, :80]
    assert not Distortion() and Distortion(p2=1e-3)
    np.testing.assert_array_equal(zoomed, K)
    np.testing.assert_allclose(source, np.stack([u, v], -1), atol=1e-4)


@pytest.mark.parametrize("lens, message", [(Distortion(k1=-4.0), "too strong"), (Distortion(k1=90.0), "too strong")])
def test_a_distortion_that_no_pinhole_camera_can_follow_is_refused(lens, message):
    with pytest.raises(ValueError, match=message):
        undistortion(K, lens, SIZE)
