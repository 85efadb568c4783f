from functools import partial

import numpy as np
import pytest
import torch

from deep3dmap.datasets.captures.formats import load_capture
from deep3dmap.datasets.readers import middlebury
from deep3dmap.errors import DataError

read_capture = partial(load_capture, format="middlebury")

BOX = np.array([(-0.073568, 0.021728, -0.012445), (0.028855, 0.181892, 0.062736)])  # from the data set's page


@pytest.fixture
def temple(real_data):
    return read_capture(real_data / "temple_sparse_ring")


def inside_hull(points: np.ndarray, size) -> np.ndarray:
    """Pixels whose centres lie in the convex hull of 2D points."""
    from scipy.spatial import ConvexHull
    v, u = np.mgrid[:size[0], :size[1]] + 0.5
    lines = ConvexHull(points).equations
    return (lines[:, :1, None] * u + lines[:, 1:2, None] * v + lines[:, 2:, None] <= 0).all(0)


def test_the_temple_has_sixteen_views_with_masks(temple):
    assert temple.images.shape == (16, 480, 640, 3) and temple.masks.shape == (16, 480, 640)
    assert temple.names == tuple(f"templeSR{i:04d}" for i in range(1, 17))
    coverage = temple.masks.float().mean((1, 2))
    assert 0.18 < coverage.min() and coverage.max() < 0.30  # 19 to 29 % say its notes


def test_the_temple_lies_in_front_of_all_cameras_inside_its_box(temple):
    corners = np.stack(np.meshgrid(*BOX.T, indexing="ij"), -1).reshape(-1, 3)
    uv, depth = temple.cameras.project(torch.from_numpy(corners))
    assert 0.48 < depth.min() and depth.max() < 0.66  # 0.49 to 0.65 m say its notes
    for projected, mask in zip(uv.numpy(), temple.masks.numpy()):
        assert inside_hull(projected, mask.shape)[mask].mean() > 0.985


def test_a_principal_point_counted_from_the_first_pixels_centre_moves_by_half_a_pixel(temple):
    np.testing.assert_allclose(temple.cameras.K[3], [[1520.4, 0, 302.82], [0, 1525.9, 247.37], [0, 0, 1]], rtol=1e-12)


def test_masks_are_matched_by_trailing_number(make_capture, tmp_path):
    capture = make_capture()
    middlebury.write(capture, tmp_path / "set")
    for i in range(5):
        (tmp_path / "set" / "masks" / f"view_{i:03d}.png").rename(tmp_path / "set" / "masks" / f"{i:04d}.png")
    assert torch.equal(read_capture(tmp_path / "set").masks, capture.masks)


def test_the_parameter_file_says_what_the_format_says(make_capture, tmp_path):
    capture = make_capture(skew=True)
    middlebury.write(capture, tmp_path / "set")
    rows = (tmp_path / "set" / "set_par.txt").read_text().splitlines()
    values = np.array(rows[2].split()[1:], float)
    K, R, t = values[:9].reshape(3, 3), values[9:18].reshape(3, 3), values[18:]
    assert rows[0] == "5" and rows[2].split()[0] == "view_001.png"
    point = np.array([0.3, -0.2, 0.1])
    x = K @ (R @ point + t)
    uv, depth = capture.cameras.project(torch.from_numpy(point[None]))
    np.testing.assert_allclose(x[:2] / x[2] + 0.5, uv[1, 0])
    np.testing.assert_allclose(x[2], depth[1, 0])


@pytest.mark.parametrize("change, message", [
    (lambda lines: lines[:-1], "says 5 images but 4 lines follow"),
    (lambda lines: ["4", *lines[1:]], "says 4 images but 5 lines follow"),
    (lambda lines: lines[1:], "first line must be the number of images"),
    (lambda lines: [], "first line must be the number of images"),
    (lambda lines: ["0"], "holds no views"),
    (lambda lines: [*lines[:2], lines[2].rsplit(" ", 1)[0], *lines[3:]], r"image 2 \(view_001.png\): expected a name and 21"),
    (lambda lines: [*lines[:2], lines[2].rsplit(" ", 1)[0] + " one", *lines[3:]], "image 2 .*: expected numbers"),
    (lambda lines: [*lines[:2], lines[1], *lines[3:]], "view_000.png is listed more than once"),
])
def test_a_damaged_parameter_file_is_named(make_capture, tmp_path, change, message):
    middlebury.write(make_capture(masks=False), tmp_path / "set")
    file = tmp_path / "set" / "set_par.txt"
    file.write_text("\n".join(change(file.read_text().splitlines())))
    with pytest.raises(DataError, match=message) as error:
        read_capture(tmp_path / "set")
    assert "set" in str(error.value)


def test_two_parameter_files_are_ambiguous(make_capture, tmp_path):
    middlebury.write(make_capture(), tmp_path / "set")
    (tmp_path / "set" / "other_par.txt").touch()
    with pytest.raises(DataError, match=r"found other_par\.txt, set_par\.txt"):
        read_capture(tmp_path / "set")
