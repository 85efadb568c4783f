"""A true surface beside silhouettes: five balls, whose masks are known by geometry alone."""

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.apis.preflight import scene_warnings
from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import TRUE_MESH, save_capture
from deep3dmap.datasets.captures.mesh_checks import OUTSIDE, silhouette_fit, true_mesh_warnings
from deep3dmap.datasets.captures.scene import load_scene
from deep3dmap.datasets.captures.scene_checks import Silhouettes
from deep3dmap.io.mesh_files import save_mesh
from tests.datasets.captures.test_silhouette_checks import BALLS, balls_capture
from tests.datasets.faults import camera_off


def balls() -> trimesh.Trimesh:
    spheres = [trimesh.creation.icosphere(3, radius) for _, radius in BALLS]
    return trimesh.util.concatenate([s.apply_translation(center) for s, (center, _) in zip(spheres, BALLS)])


def half() -> trimesh.Trimesh:
    mesh = balls()
    return mesh.submesh([mesh.triangles_center[:, 0] > 0], append=True)


def warned(mesh, capture=None) -> list[str]:
    return true_mesh_warnings(mesh, Silhouettes.of(capture or balls_capture()), "mesh.ply")


@pytest.mark.parametrize("mesh", [balls(), half(), None, trimesh.Trimesh()])
def test_a_mesh_where_the_silhouettes_are_passes_and_a_part_of_it(mesh):
    assert warned(mesh) == []


TURN = trimesh.transformations.rotation_matrix
MOVED = dict(thousandfold=np.diag([1e3, 1e3, 1e3, 1]), tiny=np.diag([1e-3, 1e-3, 1e-3, 1]),
             moved=trimesh.transformations.translation_matrix([0.3, 0, 0]),
             turned_x=TURN(np.pi / 2, [1, 0, 0]), turned_y=TURN(np.pi / 2, [0, 1, 0]), turned_z=TURN(np.pi / 2, [0, 0, 1]),
             behind=trimesh.transformations.translation_matrix([0, 0, 1e4]))  # yapf: disable


@pytest.mark.parametrize("how", MOVED)
def test_a_mesh_in_another_frame_or_unit_is_named(how):
    (line, ) = warned(balls().apply_transform(MOVED[how]))
    assert line.startswith("mesh.ply: ") and "until it is in the capture's frame and units" in line


def test_a_mesh_is_not_blamed_for_what_the_silhouettes_contradict():
    capture = camera_off(balls_capture(3), 0.2)
    assert silhouette_fit(balls(), Silhouettes.of(capture))[0] > OUTSIDE
    assert warned(balls(), capture) == []


def test_heads_that_are_aligned_by_landmarks_are_not_compared():
    mesh = balls().apply_transform(MOVED["moved"])
    mesh.metadata["regions"] = {}
    assert warned(mesh) == []


def test_the_surface_continues_beyond_the_edge_of_an_image():
    capture = balls_capture()
    views = Silhouettes.of(capture)
    views.masks = torch.ones_like(views.masks)
    assert silhouette_fit(balls().apply_scale(5), views)[0] < 0.01


@pytest.fixture
def folder(tmp_path):
    save_capture(balls_capture(), tmp_path / "balls", "idr")
    save_mesh(balls().apply_transform(MOVED["moved"]), tmp_path / "balls" / TRUE_MESH)
    return tmp_path / "balls"


def test_check_and_a_run_say_the_same_of_the_mesh_in_the_folder(folder):
    told = f"{folder / TRUE_MESH}: "
    (checked, ) = [line for line in check_capture(folder).warnings if line.startswith(told)]
    assert any(line.endswith(checked.removeprefix(str(folder) + "/")) for line in scene_warnings(load_scene(str(folder))))


def test_a_mesh_that_cannot_be_read_is_an_error_of_check(folder):
    (folder / TRUE_MESH).write_bytes(b"damaged")
    assert any(TRUE_MESH in line for line in check_capture(folder).errors)
