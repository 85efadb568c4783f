"""Files of reconstructed and true shapes: matched by name, read as meshes or as points."""

import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.shapes.shape_pairs import find_pairs, load_surface
from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import save_mesh


@pytest.fixture
def folders(tmp_path):
    """Folders with a/1 and b/2 in both, missing in the first, extra in the second."""
    ball = trimesh.creation.icosphere(1)
    for name in ("ours/a/1.ply", "ours/b/2.obj", "ours/extra.ply", "theirs/a/1.ply", "theirs/b/2.ply", "theirs/a/missing.ply"):
        save_mesh(ball, tmp_path / name)
    (tmp_path / "ours/notes.txt").write_text("no mesh")
    return tmp_path / "ours", tmp_path / "theirs"


def test_folders_are_matched_by_path_without_ending(folders):
    ours, theirs = folders
    found = find_pairs(*folders)
    assert found.pairs == [("a/1", ours / "a/1.ply", theirs / "a/1.ply"), ("b/2", ours / "b/2.obj", theirs / "b/2.ply")]
    assert found.missing == ["a/missing"] and found.extra == ["extra"]


def test_two_files_are_a_pair_whatever_their_names(folders):
    ours, theirs = folders
    assert find_pairs(ours / "extra.ply", theirs / "a/1.ply").pairs == [("1", ours / "extra.ply", theirs / "a/1.ply")]


def test_what_does_not_exist_is_named(folders):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        find_pairs(folders[0] / "nowhere", folders[1])


def test_a_file_and_a_folder_can_not_be_matched(folders):
    for pair in ((folders[0] / "extra.ply", folders[1]), (folders[0], folders[1] / "a/1.ply")):
        with pytest.raises(DataError, match="is a file and .* a folder"):
            find_pairs(*pair)


def test_two_files_of_one_name_are_an_error(folders):
    save_mesh(trimesh.creation.box(), folders[0] / "a/1.obj")
    with pytest.raises(DataError, match="has the same name as 1.obj"):
        find_pairs(*folders)


def test_folders_without_a_common_name_are_an_error_that_shows_names_of_both(folders, tmp_path):
    with pytest.raises(DataError, match=r"no name in common: the first holds 2 meshes \(1, missing\), the second 3 meshes"):
        find_pairs(folders[1] / "a", folders[0])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the first holds no mesh"):
        find_pairs(tmp_path / "empty", folders[1])


def test_a_point_cloud_is_read_as_its_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(10, 3))
    trimesh.PointCloud(points).export(tmp_path / "points.ply")
    assert load_surface(tmp_path / "points.ply") == pytest.approx(points, abs=1e-6)


@pytest.mark.parametrize("count", [9, 10, 11])
def test_surface_samples_of_deepsdfs_tool_are_points_although_they_name_faces(tmp_path, count):
    points = np.random.default_rng(0).normal(size=(count, 3))
    lines = [f"ply\nformat ascii 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z",
             f"element face {count // 3}\nproperty list uchar int vertex_index\nend_header"]  # yapf: disable
    lines += [" ".join(map(str, point)) for point in points]
    lines += [f"3 {i} {i + 1} {i + 2}" for i in range(0, count // 3 * 3, 3)]
    (tmp_path / "samples.ply").write_text("\n".join(lines) + "\n")
    assert load_surface(tmp_path / "samples.ply") == pytest.approx(points, abs=1e-5)


def test_triangles_that_repeat_their_corners_and_a_single_one_are_a_mesh(tmp_path):
    ball = trimesh.creation.icosphere(1)
    loose = trimesh.Trimesh(ball.triangles.reshape(-1, 3), np.arange(240).reshape(-1, 3), process=False)
    save_mesh(loose, tmp_path / "loose.ply")
    assert load_surface(tmp_path / "loose.ply").faces.shape == (80, 3)
    save_mesh(trimesh.Trimesh(np.eye(3), [[0, 1, 2]], process=False), tmp_path / "one.ply")
    assert load_surface(tmp_path / "one.ply").faces.tolist() == [[0, 1, 2]]


def test_points_that_are_not_finite_are_an_error(tmp_path):
    trimesh.PointCloud([[0, 0, 0], [0, np.nan, 0]]).export(tmp_path / "points.ply")
    with pytest.raises(DataError, match="points.ply: has points whose coordinates are not finite"):
        load_surface(tmp_path / "points.ply")


HEADER = "ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\nproperty float z\nend_header\n"


@pytest.mark.parametrize("name, content, message", [("gone.ply", None, "no such"), ("odd.ply", "no ply", "can't be read"),
                                                    ("odd.obj", "v 0 0 0\n", "holds no triangles|can't be read"),
                                                    ("none.ply", HEADER, "none.ply")])  # yapf: disable
def test_files_that_hold_no_surface_are_errors_that_name_them(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_surface(tmp_path / name)
    assert name in str(caught.value)


def test_folders_that_lie_at_other_depths_are_pointed_out(folders, tmp_path):
    save_mesh(trimesh.creation.box(), tmp_path / "deep" / "made" / "shapes" / "x.ply")
    save_mesh(trimesh.creation.box(), tmp_path / "flat" / "x.obj")
    with pytest.raises(DataError, match=f"Perhaps compare {tmp_path}/deep/made/shapes and {tmp_path}/flat"):
        find_pairs(tmp_path / "deep", tmp_path / "flat")
