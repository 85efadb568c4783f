import json
from functools import partial

import cv2
import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.errors import DataError
from deep3dmap.io.images import write_image, write_mask

read_capture = partial(load_capture, format="transforms")

UPRIGHT = np.eye(4).tolist()


def make_set(folder, frames, name="transforms.json", size=(12, 16), alpha=None, **top):
    """A folder with a photo for every frame and the given JSON."""
    for i, frame in enumerate(frames):
        path = folder / frame["file_path"]
        path = path if path.suffix else path.with_suffix(".png")
        write_image(path, torch.full((*size, 3), 10 + i, dtype=torch.uint8), alpha)
    (folder / name).write_text(json.dumps(dict(frames=frames, **top)))
    return folder


def frame(path="images/a.png", **more):
    return dict(file_path=path, transform_matrix=UPRIGHT) | more


def project(capture, point, view=0):
    uv, depth = capture.cameras.project(torch.tensor([point], dtype=torch.float64))
    return [*uv[view, 0].tolist(), depth[view, 0].item()]


LENS = dict(fl_x=20.0, fl_y=10.0, cx=7.0, cy=5.0, w=16, h=12)


def test_an_opengl_camera_looks_along_minus_z_with_y_up(tmp_path):
    capture = read_capture(make_set(tmp_path, [frame()], **LENS))
    np.testing.assert_allclose(project(capture, [1.0, 2.0, -10.0]), [7 + 20 * 0.1, 5 - 10 * 0.2, 10.0])


def test_the_matrix_is_camera_to_world(tmp_path):
    turned = [[0, 0, 1, 5], [1, 0, 0, 6], [0, 1, 0, 7], [0, 0, 0, 1]]  # its x axis is the world's y, its y is z, its z is x
    capture = read_capture(make_set(tmp_path, [frame(transform_matrix=turned)], **LENS))
    np.testing.assert_allclose(capture.cameras.centers[0], [5, 6, 7])
    np.testing.assert_allclose(project(capture, [5 - 10.0, 6 + 1.0, 7 + 2.0]), [9.0, 3.0, 10.0])


def test_viewing_angles_give_the_focal_lengths_of_the_image(tmp_path):
    capture = read_capture(make_set(tmp_path, [frame()], camera_angle_x=np.pi / 2))
    np.testing.assert_allclose(capture.cameras.K[0], [[8, 0, 8], [0, 8, 6], [0, 0, 1]], atol=1e-12)
    capture = read_capture(make_set(tmp_path, [frame()], camera_angle_x=np.pi / 2, camera_angle_y=2 * np.arctan(0.5)))
    np.testing.assert_allclose(capture.cameras.K[0].diagonal(), [8, 12, 1])


def test_a_frame_overrides_what_stands_at_the_top(tmp_path):
    frames = [frame("a.png"), frame("b.png", fl_x=30.0, cx=1.0), frame("c.png", camera_angle_x=np.pi / 2)]
    K = read_capture(make_set(tmp_path, frames, **LENS)).cameras.K
    assert K[:, 0, 0].tolist() == pytest.approx([20, 30, 8]) and K[:, 0, 2].tolist() == [7, 1, 7]


def test_a_blender_set_reads_its_training_split_by_default_and_others_when_asked(tmp_path):
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        frames = [frame(f"./{split}/r_{i}") for i in range(count)]
        make_set(tmp_path, frames, f"transforms_{split}.json", camera_angle_x=0.7)
    assert read_capture(tmp_path).names == ("r_0", "r_1", "r_2")
    assert len(read_capture(tmp_path, split="test")) == 2
    everything = read_capture(tmp_path, split="all").names
    assert everything == ("train/r_0", "train/r_1", "train/r_2", "val/r_0", "test/r_0", "test/r_1")
    with pytest.raises(DataError, match="no split 'tset'"):
        read_capture(tmp_path, split="tset")


def test_a_path_without_suffix_finds_its_jpeg(tmp_path):
    make_set(tmp_path, [frame("images/a.jpg")], **LENS)
    (tmp_path / "transforms.json").write_text(json.dumps(dict(frames=[frame("images/a")], **LENS)))
    assert read_capture(tmp_path).names == ("a", )


def test_masks_come_from_alpha_or_from_a_mask_path(tmp_path):
    alpha = torch.zeros(12, 16, dtype=torch.bool)
    alpha[3:7, 2:9] = True
    assert torch.equal(read_capture(make_set(tmp_path, [frame()], alpha=alpha, **LENS)).masks[0], alpha)
    mask = torch.eye(12, 16, dtype=torch.bool)
    write_mask(tmp_path / "m" / "a.png", mask)
    assert torch.equal(read_capture(make_set(tmp_path, [frame(mask_path="m/a.png")], **LENS)).masks[0], mask)


def test_masks_for_some_images_only_are_refused(tmp_path):
    write_mask(tmp_path / "m.png", torch.eye(12, 16, dtype=torch.bool))
    with pytest.raises(DataError, match=r"b\.png: has no mask, but 1 of the other"):
        read_capture(make_set(tmp_path, [frame("a.png", mask_path="m.png"), frame("b.png")], **LENS))


def test_distortion_is_removed_from_image_and_mask(tmp_path):
    lens = dict(fl_x=60.0, fl_y=57.0, cx=41.3, cy=30.8, w=80, h=64, k1=-0.2, k2=0.03, p1=0.002, p2=-0.003)
    point = np.array([0.9, 0.7, -3.0])
    K = np.array([[60.0, 0, 41.3], [0, 57.0, 30.8], [0, 0, 1]])
    opencv = np.array([lens[k] for k in ("k1", "k2", "p1", "p2")])
    seen = cv2.projectPoints(point[None] * [1, -1, -1], np.zeros(3), np.zeros(3), K, opencv)[0][0, 0]
    v, u = np.mgrid[:64, :80] + 0.5
    spot = np.exp(-((u - seen[0])**2 + (v - seen[1])**2) / 4)
    make_set(tmp_path, [frame("a.png", mask_path="m.png")], size=(64, 80), **lens)
    write_image(tmp_path / "a.png", torch.from_numpy(np.repeat(spot[..., None], 3, -1)))
    write_mask(tmp_path / "m.png", torch.from_numpy(spot > 0.3))
    capture = read_capture(tmp_path)
    expected = project(capture, point.tolist())[:2]
    for weight, tolerance in ((capture.images[0, ..., 0].double().numpy(), 0.05), (capture.masks[0].double().numpy(), 0.25)):
        centroid = [(weight * u).sum() / weight.sum(), (weight * v).sum() / weight.sum()]
        np.testing.assert_allclose(centroid, expected, atol=tolerance)


@pytest.mark.parametrize("lens, named", [(dict(camera_model="OPENCV_FISHEYE"), "OPENCV_FISHEYE"), (dict(k4=0.1), "k4"),
                                         (dict(is_fisheye=True), "is_fisheye"), (dict(ftheta_p0=0.2), "ftheta_p0"),
                                         (dict(rolling_shutter=[0, 0, 1, 0]), "rolling_shutter"),
                                         (dict(lens="equirectangular"), "equirectangular")])  # yapf: disable
def test_lenses_that_are_not_known_are_refused_by_name(tmp_path, lens, named):
    with pytest.raises(DataError, match=named):
        read_capture(make_set(tmp_path, [frame()], **LENS, **lens))


BAD_FRAMES = [
    ([dict(file_path="a.png")], {}, r"frames\[0\]: has no 'transform_matrix'"),
    ([frame(), dict(transform_matrix=UPRIGHT)], {}, r"frames\[1\]: has no 'file_path'"),
    ([frame(), 3], {}, r"frames\[1\]: expected an object"),
    ([], {}, "'frames' must be a list of at least one view"),
    ({}, {}, "'frames' must be a list"),
    ([frame(transform_matrix=[[1, 2], [3]])], {}, "transform_matrix: expected numbers"),
    ([frame(transform_matrix="here")], {}, "transform_matrix: expected numbers"),
    ([frame(transform_matrix=[[1, 0, 0, None], *UPRIGHT[1:]])], {}, "finite"),
    ([frame(transform_matrix=(2 * np.eye(4)).tolist())], {}, "not a rotation"),
    ([frame(transform_matrix=np.diag([1.0, 1, -1, 1]).tolist())], {}, "mirrored"),
    ([frame(file_path=3)], {}, "expected the path of a file"),
    ([frame(file_path="a\0b")], {}, "expected the path of a file"),
    ([frame(file_path="x" * 3000)], {}, "xxx: no such image file"),
    ([frame()], dict(fl_x="wide"), "fl_x: expected a number"),
    ([frame()], dict(fl_x=-20.0), "focal lengths must be positive"),
    ([frame()], dict(w=0), "positive whole numbers"),
    ([frame()], dict(w=float("inf")), "positive whole numbers"),
    ([frame()], dict(w=20), "16x12 but .* says 20x12"),
    ([frame()], dict(k1=float("nan")), "distortion parameters must be finite"),
    ([frame()], dict(k1=-5.0), r"frames\[0\].*too strong"),
    ([frame()], dict(fl_x=None, fl_y=None), "fl_x or camera_angle_x"),
    ([frame()], dict(fl_x=None, camera_angle_x=4.0), "between 0 and pi"),
    ([frame(), frame()], {}, "a is listed more than once|images/a.png is listed more than once"),
    ([frame()], dict(scene_from_world=np.zeros((4, 4)).tolist()), "scene_from_world: is not a similarity"),
]


@pytest.mark.parametrize("frames, changes, message", BAD_FRAMES)
def test_wrong_content_is_named(tmp_path, frames, changes, message):
    make_set(tmp_path, [frame()])
    (tmp_path / "transforms.json").write_text(json.dumps(dict(frames=frames, **(LENS | changes))))
    with pytest.raises(DataError, match=message) as error:
        read_capture(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00", "[" * 100000, '{"frames": 1e999}'])
def test_broken_json_is_named(tmp_path, text):
    (tmp_path / "transforms.json").write_text(text)
    with pytest.raises(DataError, match=r"transforms\.json"):
        read_capture(tmp_path)


@pytest.fixture
def fox(real_data):
    return lambda views=None: read_capture(real_data / "fox", views)


def test_the_foxs_cameras_look_at_about_the_point_that_its_notes_give(fox):
    capture = fox()
    assert capture.images.shape == (50, 960, 540, 3) and capture.masks is None
    centers, axes = capture.cameras.centers, capture.cameras.axes
    across = torch.eye(3).double() - axes[:, :, None] * axes[:, None]
    meeting = torch.linalg.solve(across.sum(0), (across @ centers[..., None]).sum(0))[:, 0]
    # the notes don't say how they average; the cameras are 3.7 to 6.2 away
    np.testing.assert_allclose(meeting, [0.03, -0.06, -0.02], atol=0.1)
    assert (((meeting - centers) * axes).sum(1) > 0).all()


def test_points_matched_between_two_foxes_lie_on_the_epipolar_lines_of_their_cameras(fox):
    """Axes, pinhole matrix, half pixel and undistortion at once, judged by the photographs; 0.3 px say its notes."""
    capture = fox(["0012", "0018"])
    sift = cv2.SIFT_create()
    found = [sift.detectAndCompute(cv2.cvtColor(i.numpy(), cv2.COLOR_RGB2GRAY), None) for i in capture.images]
    matches = cv2.BFMatcher(crossCheck=True).match(found[0][1], found[1][1])
    matches = sorted(matches, key=lambda m: m.distance)[:300]
    # OpenCV's key points count the first pixel's centre as 0
    x0, x1 = (np.array([found[i][0][(m.queryIdx, m.trainIdx)[i]].pt for m in matches]) + 0.5 for i in (0, 1))
    K, pose = capture.cameras.K.numpy(), capture.cameras.world_to_cam.numpy()
    R = pose[1, :, :3] @ pose[0, :, :3].T
    t = pose[1, :, 3] - R @ pose[0, :, 3]
    E = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ R
    lines = np.concatenate([x0, np.ones((300, 1))], 1) @ (np.linalg.inv(K[1]).T @ E @ np.linalg.inv(K[0])).T
    distance = np.abs((lines[:, :2] * x1).sum(1) + lines[:, 2]) / np.linalg.norm(lines[:, :2], axis=1)
    assert np.median(distance) < 0.6
