"""One mesh at a time: files whose figures fit the mesh, and every kind of mesh that is refused."""

import numpy as np
import pytest
import trimesh

from deep3dmap.datasets.shapes.sdf_samples import layout
from deep3dmap.datasets.shapes.sdf_samples.finding import MeshFile
from deep3dmap.datasets.shapes.sdf_samples.layout import ShapeName
from deep3dmap.datasets.shapes.sdf_samples.preparing import Options, Task, is_finished, prepare_shape
from deep3dmap.errors import DataError
from deep3dmap.geometry.sdf_sampling import Plan

SHAPE = ShapeName("d", "c", "x")
OPTIONS = Options(Plan(count=3000, resolution=60), surface_count=400, seed=0, max_faces=5000)


@pytest.fixture
def prepared(tmp_path):
    """Writes a mesh in a format and prepares it; gives its figures."""

    def prepare(mesh, name="x.ply", options=OPTIONS):
        data = mesh if isinstance(mesh, bytes) else mesh.export(file_type=name.rsplit(".")[-1])
        (tmp_path / name).write_bytes(data.encode() if isinstance(data, str) else data)
        return prepare_shape(Task(MeshFile(tmp_path / name, SHAPE), tmp_path, options))

    return prepare


def ball(center=(5.0, -3.0, 100.0), radius=20.0, subdivisions=3):
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    mesh.apply_translation(center)
    return mesh


def of(vertices, faces):
    return trimesh.Trimesh(vertices, faces, process=False)


def test_all_files_of_a_ball_have_its_numbers(prepared, tmp_path):
    figures = prepared(ball())
    samples = layout.read_samples(layout.samples_path(tmp_path, SHAPE))
    normalization = layout.read_normalization(layout.normalization_path(tmp_path, SHAPE))
    rows = np.concatenate([samples.positive, samples.negative])
    np.testing.assert_allclose(rows[:, 3], np.linalg.norm(rows[:, :3], axis=1) - 1 / 1.03, atol=0.01)
    np.testing.assert_allclose(normalization.offset, [-5, 3, -100], atol=0.01)
    assert normalization.scale == pytest.approx(1 / (20 * 1.03), rel=1e-3)
    assert len(samples.positive) == figures["positive"] and len(samples.negative) == figures["negative"]
    assert is_finished(tmp_path, SHAPE) and samples.shuffled


def test_surface_points_are_in_the_meshs_own_frame_and_units(prepared, tmp_path):
    prepared(ball())
    points = trimesh.load(layout.surface_path(tmp_path, SHAPE)).vertices
    assert points.shape == (400, 3)
    np.testing.assert_allclose(np.linalg.norm(points - [5, -3, 100], axis=1), 20, atol=0.25)


@pytest.mark.parametrize("ending", ["ply", "obj", "stl", "off", "glb"])
def test_any_format_gives_a_closed_ball(prepared, ending):
    figures = prepared(ball(), f"x.{ending}")
    assert figures["method"] == "winding" and figures["open_edges"] == 0


def test_the_same_seed_and_name_give_the_same_file(prepared, tmp_path):
    path = layout.samples_path(tmp_path, SHAPE)
    first = (prepared(ball()), path.read_bytes())[1]
    again = (prepared(ball()), path.read_bytes())[1]
    other = (prepared(ball(), options=OPTIONS._replace(seed=1)), path.read_bytes())[1]
    assert first == again != other


def test_a_mesh_far_from_the_origin_and_of_any_size_is_prepared(prepared, tmp_path):
    for radius, center in ((1e-7, (1e-7, 0, 0)), (3e9, (1e10, 0, 0))):
        figures = prepared(ball(center, radius), "x.obj")
        assert figures["method"] == "winding" and 0.3 < figures["negative"] / 3000 < 0.6


def test_overlapping_pieces_are_signed_by_visibility(prepared):
    both = trimesh.util.concatenate([ball((0, 0, 0)), ball((15.0, 0, 0))])
    assert prepared(both)["method"] == "visibility"


FAN = of([[0, 0, 0], [0, 0, 1], [1, 0, 0], [-0.5, 1, 0], [-0.5, -1, 0]], [[0, 1, 2], [0, 1, 3], [0, 1, 4]])


@pytest.mark.parametrize("mesh, words", [
    (b"", "can't be read|holds no triangles"),
    (b"ply\nformat ascii 1.0\nelement vertex 3\n", "can't be read|holds no triangles"),
    (trimesh.PointCloud(np.random.default_rng(0).normal(size=(50, 3))), "holds no triangles"),
    (of(np.full((3, 3), 2.0), [[0, 1, 2]]), "no size"),
    (of([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]]), "no area"),
    (of([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]], [[0, 1, 2]]), "not finite"),
    (of([[0, 0, 0], [1e30, 0, 0], [0, 1e30, 0]], [[0, 1, 2]]), "too large"),
    (of([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]), "can't be distinguished.*open at 3 edges"),
    (FAN, "can't be distinguished.*from both sides"),
    (ball(subdivisions=5), "20,480 faces, more than 5,000.*--max-faces"),
])  # yapf: disable
def test_a_mesh_that_cannot_be_sampled_is_named_with_the_reason(prepared, tmp_path, mesh, words):
    with pytest.raises(DataError, match=rf"(?s)x\.ply.*({words})"):
        prepared(mesh)
    assert not is_finished(tmp_path, SHAPE) and not layout.samples_path(tmp_path, SHAPE).exists()
