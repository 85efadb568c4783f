"""Error maps: their colours are the map's, their scale is written below."""

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import load_mesh, save_mesh
from deep3dmap.visualization.colormaps import lookup_table
from deep3dmap.visualization.error_maps import error_map, error_mesh


@pytest.fixture
def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(3, radius=50.0)


def test_vertices_are_coloured_by_their_errors_and_cut_off_at_the_maximum(ball):
    errors = np.linspace(0, 10, len(ball.vertices))
    colors = error_mesh(ball, errors).visual.vertex_colors[:, :3]
    table = lookup_table("error")
    assert np.array_equal(colors[0], table[0])
    assert (colors[errors >= 5] == table[-1]).all()


def test_a_coloured_mesh_survives_its_file(ball, tmp_path):
    colored = error_mesh(ball, np.linspace(0, 5, len(ball.vertices)))
    read = load_mesh(save_mesh(colored, tmp_path / "errors.ply"))
    assert np.array_equal(read.visual.vertex_colors, colored.visual.vertex_colors)


def test_each_view_shows_the_errors_of_its_side(ball):
    left = np.where(ball.vertices[:, 0] > 0, 5.0, 0.0)  # x is the subject's left: on the right in a picture from the front
    picture = error_map({"ball": (ball, left)}, cell=96, views={"front": 0.0, "left": 90.0})
    front, side = picture[22:118, :96].astype(int), picture[22:118, 102:198].astype(int)
    red, pale = front[48, 72], front[48, 24]
    assert red[1] < 80 < 200 < pale[1]
    assert side[48, 24][1] < 80 and side[48, 72][1] < 80


def test_every_mesh_is_shown_from_every_view_over_one_bar(ball):
    errors = np.zeros(len(ball.vertices))
    one = error_map({"a": (ball, errors)}, cell=64)
    two = error_map({"a": (ball, errors), "b": (ball, errors)}, cell=64)
    assert one.shape == (64 + 22 + 40, 2 * 64 + 6, 3) and two.shape == (64 + 22 + 40, 4 * 64 + 18, 3)
    assert np.array_equal(two[:86, :134], one[:86])
    assert len(np.unique(two[90:98].reshape(-1, 3), axis=0)) > 100  # the bar has the map's colours


def test_axes_say_where_the_front_is(ball):
    errors = np.where(ball.vertices[:, 0] > 0, 5.0, 0.0)
    facing_x = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
    front = error_map({"a": (ball, errors)}, cell=64, axes=facing_x, views={"front": 0.0})
    assert (front[22 + 32, [16, 48], 1] < 80).all()


@pytest.mark.parametrize("call, message", [
    (lambda ball: error_map({"ball": (ball, np.zeros(3))}), "3 errors and 642 vertices"),
    (lambda ball: error_map({"ball": (trimesh.Trimesh(ball.vertices, process=False), np.zeros(len(ball.vertices)))}),
     "'ball' needs a mesh with faces"),
])  # yapf: disable
def test_errors_of_another_number_and_meshes_without_faces_are_refused(call, message, ball):
    with pytest.raises(DataError, match=message):
        call(ball)
