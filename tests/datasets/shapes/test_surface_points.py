"""Surface points from files: what each kind holds, and what is wrong with bad ones."""

import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.shapes.surface_points import mesh_points, read_surface_points
from deep3dmap.errors import DataError

POINTS = np.random.default_rng(0).normal(size=(30, 3))
NORMALS = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
DEPTH = dict(depth=np.full((6, 8), 2.0), K=np.array([[8.0, 0, 4], [0, 8, 3], [0, 0, 1]]), cam_to_world=np.eye(4)[:3])


def ply(path, columns: str, rows: np.ndarray) -> None:
    head = "".join(f"property float {name}\n" for name in columns.split())
    body = "\n".join(" ".join(map(str, row)) for row in rows)
    path.write_text(f"ply\nformat ascii 1.0\nelement vertex {len(rows)}\n{head}end_header\n{body}\n")


def lines(rows: np.ndarray, key: str = "") -> str:
    return "".join(f"{key}{' '.join(map(str, row))}\n" for row in rows)


def write(path, normals: bool):
    rows = np.column_stack([POINTS, NORMALS]) if normals else POINTS
    if path.suffix == ".ply":
        ply(path, "x y z nx ny nz" if normals else "x y z", rows)
    elif path.suffix == ".xyz":
        path.write_text("# a scan\n" + lines(rows))
    elif path.suffix == ".obj":
        path.write_text(lines(POINTS, "v ") + (lines(NORMALS, "vn ") if normals else ""))
    else:
        np.savez(path, points=POINTS, **(dict(normals=5 * NORMALS) if normals else {}))
    return path


@pytest.mark.parametrize("normals", [True, False])
@pytest.mark.parametrize("suffix", [".ply", ".xyz", ".obj", ".npz"])
def test_point_clouds_are_read(tmp_path, suffix, normals):
    surface = read_surface_points(write(tmp_path / f"scan{suffix}", normals))
    np.testing.assert_allclose(surface.points, POINTS, atol=1e-6)
    assert surface.viewpoint is None and (surface.normals is not None) == normals
    if normals:
        np.testing.assert_allclose(surface.normals, NORMALS, atol=1e-6)


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb", ".stl", ".off"])
@pytest.mark.parametrize("inward", [False, True])
def test_points_on_a_mesh_have_its_outward_normals(tmp_path, suffix, inward):
    mesh = trimesh.creation.box((2, 2, 2))
    if inward:
        mesh.invert()
    mesh.export(tmp_path / f"box{suffix}")
    surface = read_surface_points(tmp_path / f"box{suffix}", most=500)
    assert surface.points.shape == (500, 3)
    np.testing.assert_allclose(np.abs(surface.points).max(1), 1, atol=1e-6)
    np.testing.assert_allclose((surface.points * surface.normals).sum(1), 1, atol=1e-6)


def test_points_on_a_mesh_are_chosen_by_the_seed():
    mesh = trimesh.creation.box((2, 2, 2))
    first, again, other = (mesh_points(mesh, 10, seed).points for seed in (0, 0, 1))
    assert (first == again).all() and not (first == other).all()


def test_more_points_than_wanted_are_thinned(tmp_path):
    surface = read_surface_points(write(tmp_path / "scan.npz", True), most=7)
    assert len(surface.points) == len(surface.normals) == 7
    np.testing.assert_allclose(surface.points / np.linalg.norm(surface.points, axis=1, keepdims=True), surface.normals)


def test_a_depth_map_gives_points_in_the_world_and_its_camera(tmp_path):
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    pose = np.column_stack([turn, [1.0, 2, 3]])
    depth = DEPTH["depth"].copy()
    depth[0, 0] = np.nan
    np.savez(tmp_path / "view.npz", **DEPTH | dict(depth=depth, cam_to_world=pose, mask=np.arange(8)[None].repeat(6, 0) < 4))
    surface = read_surface_points(tmp_path / "view.npz")
    assert len(surface.points) == 4 * 3  # without the picture's border
    np.testing.assert_allclose(surface.points[:, 0], 3)  # z of the camera is x of the world
    np.testing.assert_allclose(surface.normals, np.broadcast_to([-1.0, 0, 0], (12, 3)), atol=1e-12)
    np.testing.assert_allclose(surface.viewpoint, [1, 2, 3])
    np.testing.assert_allclose(surface.points[0], [3, 2 + (1.5 - 4) / 8 * 2, 3 + (1.5 - 3) / 8 * 2])


BAD = {
    "not finite numbers": dict(points=np.where(np.arange(30)[:, None] == 3, np.nan, POINTS)),
    "no surface points": dict(points=POINTS[:0]),
    "rows of three numbers": dict(points=POINTS[:, :2]),
    "one for each point": dict(points=POINTS, normals=NORMALS[:5]),
    "2 of 30 normals are 0": dict(points=POINTS, normals=NORMALS * (np.arange(30) > 1)[:, None]),
    "holds vertices; expected": dict(vertices=POINTS),
    "lacks 'K'": dict(depth=DEPTH["depth"]),
    "needs depth": DEPTH | dict(mask=np.ones((3, 3))),
    "K invertible": DEPTH | dict(K=np.zeros((3, 3))),
    "cam_to_world is not a rotation": DEPTH | dict(cam_to_world=2 * np.eye(4)),
    "48 depths that are negative": DEPTH | dict(depth=-DEPTH["depth"]),
    "holds no surface": DEPTH | dict(depth=np.zeros((6, 8))),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_arrays_are_refused_by_name(tmp_path, message):
    np.savez(tmp_path / "bad.npz", **BAD[message])
    with pytest.raises(DataError, match=f"bad.npz.*{message}"):
        read_surface_points(tmp_path / "bad.npz")


@pytest.mark.parametrize("name, content, message", [("a.xyz", "1 2 3\n4 5\n", "every line"),
                                                    ("a.xyz", "1 2\n", "2 numbers in a line"),
                                                    ("a.xyz", "", "no surface points"),
                                                    ("a.ply", "ply\nrubbish", "can't be read"),
                                                    ("a.obj", "v 1 2 x\n", "can't be read"),
                                                    ("a.npz", "rubbish", "can't be read"), ("a.doc", "", "not a known kind")])
def test_bad_files_are_refused_by_name(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_surface_points(tmp_path / name)


def test_faces_that_mean_nothing_are_left_aside(tmp_path):
    """DeepSDF's code writes surface samples with every three points in a row as a face."""
    trimesh.Trimesh(POINTS, np.arange(30).reshape(10, 3), process=False).export(tmp_path / "samples.ply")
    surface = read_surface_points(tmp_path / "samples.ply")
    np.testing.assert_allclose(surface.points, POINTS, atol=1e-6)
    assert surface.normals is None


def test_faces_that_disagree_are_turned_outward():
    mesh = trimesh.creation.box((2, 2, 2))
    mixed = trimesh.Trimesh(mesh.vertices,
                            np.where(np.arange(12)[:, None] % 2, mesh.faces, mesh.faces[:, ::-1]),
                            process=False)
    surface = mesh_points(mixed, 200)
    np.testing.assert_allclose((surface.points * surface.normals).sum(1), 1, atol=1e-6)


def test_a_mesh_in_tiny_units_has_points_and_normals():
    surface = mesh_points(trimesh.creation.box((2e-9, 2e-9, 2e-9)), 50)
    np.testing.assert_allclose((surface.points * surface.normals).sum(1), 1e-9, rtol=1e-6)


def test_a_mesh_without_area_is_refused(tmp_path):
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False).export(tmp_path / "line.ply")
    with pytest.raises(DataError, match="line.ply: the mesh has no area"):
        read_surface_points(tmp_path / "line.ply")


def test_points_of_an_obj_with_remarks_in_another_encoding_are_read(tmp_path):
    (tmp_path / "scan.obj").write_bytes("# Maß\n".encode("latin-1") + lines(POINTS, "v ").encode())
    np.testing.assert_allclose(read_surface_points(tmp_path / "scan.obj").points, POINTS, atol=1e-6)
