"""The page of a growing mesh: what it shows, with a server that only takes notes, and with the real one."""

import sys
import urllib.request
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import MissingDependencyError
from deep3dmap.visualization import online
from deep3dmap.visualization.online import OnlineViewer

UP = np.array([0.0, 1.0, 0.0])
BOX = trimesh.creation.box()


class Scene:
    """Keeps what is shown, by name."""

    def __init__(self):
        self.shown, self.up = {}, None

    def set_up_direction(self, up):
        self.up = up

    def add_mesh_trimesh(self, name, mesh):
        self.shown[name] = np.asarray(mesh.vertices)

    def add_mesh_simple(self, name, vertices, faces, color):
        self.shown[name] = vertices

    def add_camera_frustum(self, name, fov, aspect, **place):
        self.shown[name] = dict(place, fov=fov, aspect=aspect)

    def remove_by_name(self, name):
        del self.shown[name]


class Server:
    """Serves nothing."""

    def __init__(self, **options):
        self.scene, self.initial_camera = Scene(), SimpleNamespace()
        self.atomic, self.get_port, self.get_clients = nullcontext, lambda: 8080, dict


def cameras(count: int) -> tuple[np.ndarray, ...]:
    """Poses that look along x, ``K`` and pictures of 60x40 pixels and 90 degrees from top to bottom."""
    pose = np.eye(4)
    pose[:3] = np.transpose([[0, 0, 1], [0, -1, 0], [1, 0, 0], [1, 2, 3]])
    K = np.array([[20.0, 0, 30], [0, 20, 20], [0, 0, 1]])
    return np.stack([pose] * count), np.stack([K] * count), np.zeros((count, 40, 60, 3), np.uint8)


@pytest.fixture
def viewer(monkeypatch):
    monkeypatch.setattr(online, "load_viser", lambda: SimpleNamespace(ViserServer=Server))
    return OnlineViewer()


def test_the_mesh_and_the_current_cameras_replace_earlier_ones(viewer):
    viewer.show(BOX, UP, *cameras(3))
    viewer.show(trimesh.creation.icosphere(), UP, *cameras(2))
    shown = viewer.server.scene.shown
    assert sorted(shown) == ["/cameras/0", "/cameras/1", "/mesh"] and len(shown["/mesh"]) > len(BOX.vertices)


def test_cameras_have_the_place_and_field_of_view_of_their_pictures(viewer):
    viewer.show(BOX, UP, *cameras(1))
    camera = viewer.server.scene.shown["/cameras/0"]
    assert camera["fov"] == pytest.approx(np.pi / 2) and camera["aspect"] == 1.5
    np.testing.assert_array_equal(camera["position"], [1, 2, 3])
    w, x, y, z = camera["wxyz"]
    forward = [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)]
    np.testing.assert_allclose(forward, [1, 0, 0], atol=1e-6)


def test_one_begins_behind_the_cameras_and_above_them(viewer):
    viewer.show(BOX, UP, *cameras(1))
    begin = viewer.server.initial_camera
    assert begin.position[0] < begin.look_at[0] - 1 and begin.position[1] > begin.look_at[1] + 1


def test_without_viser_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingDependencyError, match="pip install viser"):
        OnlineViewer()


def test_the_real_page_is_served_until_it_is_closed():
    pytest.importorskip("viser", reason="needs the extra 'viewer'")
    viewer = OnlineViewer()
    try:
        viewer.show(BOX, UP, *cameras(2))
        viewer.show(BOX, UP, *cameras(1))
        assert urllib.request.urlopen(viewer.address, timeout=10).status == 200
    finally:
        viewer.close()
    with pytest.raises(OSError):
        urllib.request.urlopen(viewer.address, timeout=10)
