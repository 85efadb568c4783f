import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.heads.ict_face import ICTFaceModel
from deep3dmap.datasets.heads.ict_face.surface import common_frame, head_surface
from deep3dmap.errors import DataError
from deep3dmap.geometry.closed_meshes import Mesh, winding_numbers
from tests.datasets.heads.ict_face.made import RADIUS, made_arrays


def assert_closed_and_outward(mesh: trimesh.Trimesh):
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume > 0


def test_the_open_neck_is_closed_by_triangles_that_look_outward(model):
    mesh = head_surface(model).mesh(model.mean)
    assert_closed_and_outward(mesh)
    assert mesh.face_normals[-1][1] < -0.9  # the cap is below


def test_its_volume_is_that_of_the_ball_less_what_is_cut_and_pushed_in(model):
    mesh = head_surface(model).mesh(model.mean)
    height = RADIUS + mesh.vertices[:, 1].min()  # of the cap of the ball that is cut off
    ball, cut = 4 / 3 * np.pi * RADIUS**3, np.pi * height**2 * (3 * RADIUS - height) / 3
    assert 0.9 * (ball - cut) < mesh.volume < ball - cut


def test_without_the_mouth_its_hole_is_closed_as_well(model):
    with_mouth, without = (head_surface(model, mouth=m).mesh(model.mean) for m in (True, False))
    assert_closed_and_outward(without)
    assert len(head_surface(model, mouth=False).loops) == 2
    assert without.volume > with_mouth.volume


def test_of_each_eyeball_the_outer_ball_takes_the_place_of_its_socket(model):
    with_sockets, without = (head_surface(model, eyeballs=e).mesh(model.mean) for e in (False, True))
    assert without.is_watertight
    ball = trimesh.creation.icosphere(subdivisions=1, radius=2.0)
    *balls, skin = sorted(piece.volume for piece in without.split())
    assert balls == pytest.approx([ball.volume] * 2, rel=1e-5)
    assert skin > with_sockets.volume  # sockets are hollows, the fans that close their openings are not


def test_the_real_heads_lips_meet_where_they_can_be_seen(real_data):
    model = ICTFaceModel.load(real_data / "ict_face" / "ict_face_model.npz")
    surface = head_surface(model, mouth=False)
    whole, closed = head_surface(model).mesh(model.mean), surface.mesh(model.mean)
    assert_closed_and_outward(closed)
    depth = [model.mean[surface.used[loop], 2].mean() for loop in surface.loops]
    assert max(depth) == pytest.approx(10.7, abs=0.05)  # the inner edge of the lips lies at 10.3
    between = np.array([[0.0, -3.2, 10.5]])  # in the slit behind the lips
    assert winding_numbers(Mesh(closed.vertices, closed.faces), between) > 0.5
    assert winding_numbers(Mesh(whole.vertices, whole.faces), np.array([[0.0, -3.3, 9.0]])) < 0.5  # in the bag


def test_some_of_the_triangles_make_an_open_mesh_without_stray_vertices(model):
    surface = head_surface(model)
    keep = np.arange(len(surface.faces)) < 50
    mesh = surface.mesh(model.mean, keep)
    whole = surface.mesh(model.mean)
    np.testing.assert_array_equal(mesh.triangles, whole.triangles[:50])
    assert len(mesh.vertices) == len(np.unique(whole.faces[:50]))


def test_parts_that_make_no_surface_are_refused(tmp_path):
    triangles = made_arrays()["triangles"].copy()
    triangles[0] = triangles[0][::-1]
    np.savez(tmp_path / "model.npz", **made_arrays() | dict(triangles=triangles))
    with pytest.raises(DataError, match="no surface that can be closed"):
        head_surface(ICTFaceModel.load(tmp_path / "model.npz"))


def test_the_common_frame_leaves_room_for_identities_of_five_deviations(model):
    frame, surface = common_frame(model), head_surface(model)
    reach = [np.linalg.norm(frame.apply(surface.vertices(model.vertices([a, 0, 0]))), axis=1).max() for a in (0, 5, 8)]
    assert reach[0] < reach[1] <= 1 < reach[2]


def test_lengths_in_centimetres_come_back_from_the_common_frame(model):
    frame = common_frame(model)
    np.testing.assert_allclose(frame.undo(frame.apply(model.mean.astype(float))), model.mean, atol=1e-9)


@pytest.mark.parametrize("mouth", [True, False])
def test_real_heads_are_closed_and_face_outward_in_the_common_sphere(real_model, mouth):
    surface, frame = head_surface(real_model, mouth), common_frame(real_model)
    assert sorted(len(loop) for loop in surface.loops) == ([54] if mouth else [54, 74])  # as the model's notes say
    for seed in range(5):
        identity = np.random.default_rng(seed).standard_normal(100)
        mesh = surface.mesh(real_model.vertices(identity))
        assert_closed_and_outward(mesh)
        assert 0.6 < np.linalg.norm(frame.apply(np.asarray(mesh.vertices)), axis=1).max() < 1
