"""Scenes in the layout of H3DS: written, read back, held-out views by the data set's own lists, and what may be wrong."""

import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.datasets.captures.check import check_capture
from deep3dmap.datasets.captures.formats import detect_format, load_capture, save_capture
from deep3dmap.datasets.captures.ray_batches import scene_item
from deep3dmap.datasets.captures.scene import Scene, load_scene
from deep3dmap.datasets.download import download
from deep3dmap.datasets.readers.h3ds_config import h3ds_scenes, load_h3ds_config
from deep3dmap.datasets.readers.h3ds_files import read_head
from deep3dmap.errors import ConfigError, DataError, MissingDependencyError
from deep3dmap.evaluation.head_metric import HeadMetrics
from deep3dmap.geometry.projection import decompose_projection
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.structures import Reconstruction
from tests.datasets.h3ds_scene import SCENE, VIEWS, landmark_vertices, made_capture, write_scene


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("h3ds")
    write_scene(root)
    return root


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written, tmp_path / "h3ds")


@pytest.fixture
def scene(root):
    return root / SCENE


def options(root, views: str = "3", **more) -> dict:
    return dict(views_config=views, config=str(root / "views.toml"), **more)


def test_a_scene_comes_back_as_it_was(scene):
    given, read = made_capture(), load_capture(scene)
    assert detect_format(scene) == "h3ds"
    assert read.names == tuple(f"img_{k:04d}" for k in range(VIEWS)) and torch.equal(read.masks, given.masks)
    torch.testing.assert_close(read.cameras.K, given.cameras.K.double(), rtol=0, atol=1e-4)
    torch.testing.assert_close(read.cameras.world_to_cam, given.cameras.world_to_cam.double(), rtol=1e-5, atol=1e-4)
    assert (read.images.float() - given.images.float()).abs().mean() < 3  # JPEG
    np.testing.assert_allclose(read.mesh.vertices, given.mesh.vertices, atol=1e-4)
    assert np.array_equal(read.mesh.faces, given.mesh.faces)
    for name, point in given.landmarks.items():
        torch.testing.assert_close(read.landmarks[name], point, rtol=0, atol=1e-4)
    for name, vertices in given.mesh.metadata["regions"].items():
        assert np.array_equal(read.mesh.metadata["regions"][name], vertices)


def test_the_layout_is_the_data_sets_own(scene):
    found = {p.relative_to(scene).as_posix() for p in scene.rglob("*") if p.is_file()}
    pictures = {f"{kind}_{k:04d}.{end}" for kind, end in (("image/img", "jpg"), ("mask/mask", "png")) for k in range(VIEWS)}
    files = {"cameras.npz", "full_head.obj", "landmarks.txt", "regions/face.txt", "regions/face_sphere.txt"}
    assert found == pictures | files
    assert scene.joinpath("landmarks.txt").read_text().startswith("right_eye ")


def test_the_first_pixels_centre_is_zero_in_the_files_and_a_half_here(scene):
    capture = load_capture(scene)
    seen = render_mesh(capture.mesh, capture.cameras).mask  # through the pixels' centres
    assert (seen != capture.masks).sum() <= 3
    matrix = np.load(scene / "cameras.npz")["world_mat_0"][:3]
    K = decompose_projection(torch.from_numpy(matrix))[0]
    torch.testing.assert_close(capture.cameras.K[0, :2, 2], K[:2, 2] + 0.5)


def test_one_scale_for_all_views_is_enough(scene):
    entries = dict(np.load(scene / "cameras.npz"))
    scale = np.diag([120.0, 120, 120, 1])
    kept = {name: matrix for name, matrix in entries.items() if name.startswith("world_mat")} | {"scale_mat_0": scale}
    np.savez(scene / "cameras.npz", **kept)
    np.testing.assert_allclose(load_capture(scene).scene_from_world, np.linalg.inv(scale), atol=1e-12)


def test_views_that_a_choice_leaves_out_are_held_out(root, scene):
    loaded = load_scene(str(scene), reader=options(root))
    assert loaded.train.names == ("img_0000", "img_0002", "img_0004")
    assert loaded.test.names == ("test_img_0001", "test_img_0003")
    one = load_capture(scene, **options(root, "3", held_out=1))
    assert one.names == ("img_0000", "img_0002", "test_img_0003", "img_0004")
    assert load_capture(scene, **options(root, 3, held_out=0)).names == loaded.train.names


def test_vertices_stay_in_the_files_order_whatever_textures_say(tmp_path):
    lines = ["# scan", "mtllib a.mtl", "v 9 9 9", "v 0 0 0 0.1 0.2 0.3", "v 1 0 0", "v 1 1 0", "v 0 1 0", "vt 0 0", "vt 1 1",
             "vn 0 0 1", "g head", "f 5/1/1 4/2/1 3/1/1 2/2/1", "f 3/2/1 2/1/1 5/2/1"]  # yapf: disable
    (tmp_path / "full_head.obj").write_text("\n".join(lines))
    head = read_head(tmp_path / "full_head.obj")
    assert head.vertices.tolist() == [[9, 9, 9], [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert head.faces.tolist() == [[4, 3, 2], [4, 2, 1], [2, 1, 4]]


def test_the_scan_of_the_scene_is_measured_as_a_true_head(scene):
    capture = load_capture(scene)
    metric = HeadMetrics(to="vertices")
    wider = trimesh.Trimesh(capture.mesh.vertices * [1.04, 1, 1], capture.mesh.faces, process=False)
    metric.add_item(scene_item(Scene(capture, (0, ), ())), Reconstruction("x", wider))
    assert 0.1 < metric.compute()["head (mm)"]["face_vertices_mean"] < 2


def test_check_finds_nothing_wrong(scene):
    report = check_capture(scene)
    assert report.ok and not report.warnings and report.format == "h3ds" and report.masked_views == VIEWS


def test_scenes_are_chosen_by_their_tags(root):
    other = root / "fedcba9876543210"
    other.mkdir()
    lists = root / "views.toml"
    assert h3ds_scenes(root, {"h3d-net"}, lists) == [root / SCENE]
    assert h3ds_scenes(root, {"sira++"}, lists) == h3ds_scenes(root, config=lists) == [root / SCENE, other]
    assert h3ds_scenes(root, {"sira++", "h3d-net"}, lists) == [root / SCENE]


def test_the_lists_come_from_the_installed_package_without_importing_it(root, monkeypatch, tmp_path):
    package = tmp_path / "site" / "h3ds"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copy(root / "views.toml", package / "config_v2.toml")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load_h3ds_config()[SCENE].views_configs["3"] == (0, 2, 4)
    with pytest.raises(ConfigError, match="H3DS has no list 'config_v3'; did you mean 'config_v2'"):
        load_h3ds_config("config_v3")


def test_without_the_package_the_message_says_how_to_get_the_lists(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "h3ds", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install h3ds.*config='PATH.toml'"):
        load_capture(scene, views_config="3")


def remove(name):
    return lambda scene: (scene / name).unlink()


def text(name, change):
    return lambda scene: (scene / name).write_text(change((scene / name).read_text()))


@pytest.mark.parametrize("damage, message", [
    (remove("full_head.obj"), "full_head.obj: no such OBJ mesh file"),
    (remove("image/img_0004.jpg"), "4 images .* but 5 world_mat_i"),
    (remove("mask/mask_0004.png"), "4 masks but 5 images; every image needs one"),
    (lambda scene: shutil.rmtree(scene / "mask"), "mask: no masks; .*each of its 5 images"),
    (text("landmarks.txt", lambda t: t + "chin 3"), "line 7: expected a landmark .*got 'chin 3'"),
    (text("landmarks.txt", lambda t: t.replace("nose_tip ", "nose_tip 99")), "there is no vertex 99.*0 to 2561"),
    (text("landmarks.txt", lambda t: t.replace("nose_tip ", "nose_tip x")), "line 3: expected a vertex index, got 'x"),
    (text("landmarks.txt", lambda t: t.replace("right", "L").replace("left", "right").replace("L_", "left_")),
     "landmarks.txt: right and left are swapped"),
    (text("regions/face.txt", lambda t: t + "2562\n"), "face.txt: there is no vertex 2562; full_head.obj has"),
    (text("regions/face.txt", lambda t: ""), "face.txt: the region has no vertices"),
    (text("full_head.obj", lambda t: t.replace("v ", "x ", 1)), "full_head.obj: has faces with vertex indices"),
    (text("full_head.obj", lambda t: "nothing"), "full_head.obj: holds no triangles"),
])  # yapf: disable
def test_what_is_wrong_with_a_scene_is_reported_by_one_error_and_by_check(scene, damage, message):
    damage(scene)
    with pytest.raises(DataError, match=message):
        load_capture(scene)
    report = check_capture(scene)
    assert not report.ok and any(re.search(message, error) for error in report.errors)


@pytest.mark.parametrize("edit, given, message", [
    (lambda lists: lists, dict(views_config="5"), "no views_config '5'; .* has 1, 3$"),
    (lambda lists: lists, dict(config="config_v9.toml"), "config_v9.toml: no such TOML file"),
    (lambda lists: lists.replace("views = 5", "views = 66"), {}, "holds 5 photographs, but .* says 66"),
    (lambda lists: "scenes = 3", {}, "views.toml: can't be read as TOML"),
])  # yapf: disable
def test_a_wrong_list_or_choice_of_views_is_named(root, scene, edit, given, message):
    lists = root / "views.toml"
    lists.write_text(edit(lists.read_text()))
    with pytest.raises((ConfigError, DataError), match=message):
        load_capture(scene, **options(root) | given)


def test_a_scene_that_the_list_does_not_have_is_reported(root, scene):
    with pytest.raises(ConfigError, match=f"lists no scene '{SCENE}x': did you mean '{SCENE}'"):
        load_capture(scene.rename(root / f"{SCENE}x"), **options(root))


def test_an_unknown_tag_and_a_missing_scene_are_named(root):
    with pytest.raises(ConfigError, match="no scene of H3DS has the tag 'h3dnet'; did you mean 'h3d-net'"):
        h3ds_scenes(root, {"h3dnet"}, root / "views.toml")
    with pytest.raises(DataError, match="fedcba9876543210: no such scene; 1 of 2 are missing"):
        h3ds_scenes(root, config=root / "views.toml")


@pytest.mark.parametrize("lacking, message", [("mesh", "lacks the true head"), ("masks", "lacks the masks")])
def test_what_h3ds_can_not_store_is_refused(tmp_path, lacking, message):
    with pytest.raises(DataError, match=message):
        save_capture(replace(made_capture(), **{lacking: None}), tmp_path / "new", "h3ds")


def test_landmarks_are_optional_and_missed(scene):
    (scene / "landmarks.txt").unlink()
    assert load_capture(scene).landmarks is None
    assert any("landmarks.txt: is missing" in warning for warning in check_capture(scene).warnings)


def test_landmarks_are_written_as_the_vertices_next_to_them(scene):
    lines = (scene / "landmarks.txt").read_text().splitlines()
    assert {name: int(vertex) for name, vertex in map(str.split, lines)} == landmark_vertices(made_capture().mesh)


def test_downloading_says_how_the_data_are_given_out(tmp_path):
    with pytest.raises(DataError, match=r"h3ds: H3DS is given to researchers on request.*pip install h3ds.*token='TOKEN'"):
        download("h3ds", tmp_path)
