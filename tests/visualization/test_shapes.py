"""Grids of shapes and maps of points: what is where in the picture."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull

from deep3dmap.errors import DataError
from deep3dmap.visualization.pictures import LABEL_HEIGHT
from deep3dmap.visualization.shapes import GAP, INKS, common_camera, point_map, shape_grid

CELL = 60


def ball(radius: float, centre=(0.0, 0.0, 0.0)) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    mesh.apply_translation(centre)
    return mesh


def cells(grid: np.ndarray, rows: int, columns: int) -> list[np.ndarray]:
    """The renders of a grid, without their names."""
    step = (CELL + LABEL_HEIGHT + GAP, CELL + GAP)
    assert grid.shape == (rows * step[0] - GAP, columns * step[1] - GAP, 3)
    return [grid[r * step[0] + LABEL_HEIGHT:][:CELL, c * step[1]:][:, :CELL] for r in range(rows) for c in range(columns)]


def covered(image: np.ndarray) -> np.ndarray:
    return (image < 250).any(-1)


def test_pixels_are_covered_where_the_mesh_projects():
    mesh = trimesh.creation.box((0.4, 0.8, 0.6))
    image, = cells(shape_grid([mesh], ["box"], cell=CELL), 1, 1)
    camera = common_camera([mesh], CELL)
    uv, _ = camera.project(torch.tensor(mesh.vertices))
    sides = ConvexHull(uv[0].numpy()).equations
    ys, xs = np.mgrid[:CELL, :CELL] + 0.5
    outside = (np.stack([xs, ys], -1) @ sides[:, :2].T + sides[:, 2]).max(-1)  # pixels, negative within the outline
    clear = np.abs(outside) > 1
    np.testing.assert_array_equal(covered(image)[clear], outside[clear] < 0)
    assert 0.1 < covered(image).mean() < 0.9


def test_all_shapes_have_one_scale_and_place():
    large, small, moved = cells(shape_grid([ball(0.8), ball(0.4), ball(0.4, (0, 0.4, 0))], list("abc"), cell=CELL, columns=3),
                                1, 3)
    assert covered(large).sum() == pytest.approx(4 * covered(small).sum(), rel=0.15)
    rows = [np.nonzero(covered(image))[0].mean() for image in (small, moved)]
    assert rows[1] < rows[0] - 0.1 * CELL  # y is up


def test_shapes_without_a_surface_leave_their_cell_empty_and_say_so():
    image, none, no_faces = cells(
        shape_grid([ball(0.5), None, trimesh.Trimesh()], ["ball", "none", "no faces"], cell=CELL, columns=3), 1, 3)
    assert (none == no_faces).all() and (none != image).any()
    assert (none < 200).any() and (none > 240).mean() > 0.5
    assert shape_grid([None], ["nothing"], cell=CELL).shape == (CELL + LABEL_HEIGHT, CELL, 3)


def test_grids_are_about_square_and_have_a_name_above_each_shape():
    grid = shape_grid([ball(0.5)] * 5, ["one", "two", "two", "three", ""], cell=CELL)
    cells(grid, 2, 3)
    labels = [grid[r * (CELL + LABEL_HEIGHT + GAP):][:LABEL_HEIGHT, c * (CELL + GAP):][:, :CELL] for r in (0, 1)
              for c in (0, 1, 2)]  # yapf: disable
    assert [bool((label < 128).any()) for label in labels] == [True, True, True, True, False, False]
    assert (labels[1] == labels[2]).all() and (labels[0] != labels[1]).any()


@pytest.mark.parametrize("call, message", [(lambda: shape_grid([], []), "a name for each"),
                                           (lambda: shape_grid([None], ["a", "b"]), "a name for each"),
                                           (lambda: point_map({}), "at least one point"),
                                           (lambda: point_map({"a": np.empty((0, 2))}), "at least one")])  # yapf: disable
def test_shapes_without_names_and_maps_of_no_points_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_points_lie_right_and_up_of_the_origin_as_their_coordinates_say():
    image = point_map({"a": np.array([[1.0, 0.5]]), "b": np.array([[-1.0, -1.0]])}, size=200)
    places = [np.argwhere((image == ink).all(-1))[:, ::-1] for ink in INKS[:2]]
    first, second = (np.median(p[p[:, 1] < 220], axis=0) for p in places)  # the legend lies below
    np.testing.assert_allclose(first - second, [2 / 2.2 * 200, -1.5 / 2.2 * 200], atol=2)


def test_labels_and_axes_are_written():
    points = {"a": np.array([[1.0, 0.5], [-1.0, 0.2]])}
    plain = point_map(points, size=200)
    for changed in (point_map(points, [("name", 1.0, 0.5)], size=200), point_map(points, axes=("x", "y"), size=200)):
        assert changed.shape == plain.shape and (changed != plain).any()
