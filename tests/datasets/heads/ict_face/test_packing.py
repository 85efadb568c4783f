import numpy as np
import pytest

from deep3dmap.datasets.heads.ict_face.packing import FACEKIT, pack
from deep3dmap.errors import DataError
from tests.datasets.heads.ict_face.published import LAYOUT, LICENSE, VERTICES, obj, published_files


@pytest.fixture
def source(tmp_path):
    """A folder with the made published files."""
    for name, content in published_files().items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


@pytest.fixture
def packed(source, tmp_path):
    pack(source, tmp_path / "packed", LAYOUT)
    with np.load(tmp_path / "packed" / "ict_face_model.npz") as file:
        return dict(file)


KEPT = [0, 1, 2, 3, 6, 7, 8]


def test_vertices_of_the_heads_parts_are_kept_in_their_order(packed):
    np.testing.assert_array_equal(packed["mean"], VERTICES[KEPT])


def test_modes_are_what_their_meshes_differ_from_the_neutral_one(packed):
    np.testing.assert_array_equal(packed["identity"][:, :, 1], np.repeat([[0.5], [-0.25]], 7, 1))
    np.testing.assert_array_equal(packed["expression"][:, :, 1], np.repeat([[0.125], [1.0]], 7, 1))
    assert packed["identity"].dtype == np.float16 and not packed["identity"][..., [0, 2]].any()
    assert packed["expression_names"].tolist() == ["jawOpen", "eyeBlink_L"]


def test_polygons_become_triangles_with_their_part_and_texture(packed):
    np.testing.assert_array_equal(packed["triangles"], [[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(packed["triangle_part"], [0, 0, 1])
    corners = packed["uv"][packed["uv_triangles"], 0]
    np.testing.assert_allclose(corners, [[0.0, 0.1, 0.2], [0.0, 0.2, 0.3], [0.8, 0.7, 0.6]], atol=1e-6)


def test_landmarks_are_renumbered(packed):
    assert packed["landmarks68"].tolist() == [3, 5, *[0] * 66]


def test_the_licence_goes_with_the_model(packed, tmp_path):
    assert (tmp_path / "packed" / "LICENSE").read_bytes() == LICENSE


@pytest.mark.parametrize("file, content, message", [
    ("generic_neutral_mesh.obj", obj(VERTICES[:8]), "neutral_mesh.obj: 9 vertices .* are expected, it has 8"),
    ("generic_neutral_mesh.obj", obj(faces=("1/1 2/2 3/3", )), "at least 3 polygons are expected, it has 1"),
    ("generic_neutral_mesh.obj", obj(faces=("1/1 2/2 3/3", "1/1 2/2 3/3", "7/9 8/8 5/5")), "use vertices of omitted parts"),
    ("generic_neutral_mesh.obj", obj(faces=("1/1 2/2 3/3", "1/1 2/2 3/3", "7/9 8/8 99/9")), "indices out of range"),
    ("generic_neutral_mesh.obj", obj(faces=("1/1 2/2 3/3", "1/1 2/2 3/3", "0/1 8/8 9/9")), "indices out of range"),
    ("generic_neutral_mesh.obj", obj(uv=5), "indices out of range"),
    ("generic_neutral_mesh.obj", obj(faces=("1 2 3", "1 2 3", "7 8 9")), "can't be read as an OBJ mesh of ICT-FaceKit"),
    ("generic_neutral_mesh.obj", b"\xff\xfe", "can't be read as text"),
    ("identity001.obj", obj().replace(b"v 0.0 ", b"v nan "), "identity001.obj: 9 vertices of finite numbers"),
    ("jawOpen.obj", obj().replace(b"v 0.0 ", b"v "), "jawOpen.obj: can't be read as an OBJ mesh"),
    ("jawOpen.obj", b"<html>404</html>", "jawOpen.obj: 9 vertices .* it has 0"),
    ("vertex_indices.json", b"{", "vertex_indices.json: can't be read as ICT-FaceKit's vertex numbers"),
    ("vertex_indices.json", b'{"idx_to_landmark_verts": [1], "idx_to_rigid_verts": []}', "68 landmarks"),
    ("eyeBlink_L.obj", None, "eyeBlink_L.obj: no such text file"),
])  # yapf: disable
def test_files_that_are_damaged_or_of_another_version_are_refused_by_name(source, tmp_path, file, content, message):
    path = source / "FaceXModel" / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        pack(source, tmp_path / "packed", LAYOUT)


def test_the_published_layout_is_that_of_the_projects_page():
    assert len(FACEKIT.files()) == 160 and len(set(FACEKIT.files())) == 160
    assert sum(end - start for _, (start, end), _ in FACEKIT.parts) == 17202
    assert "FaceXModel/mouthUpperUp_R.obj" in FACEKIT.files() and "FaceXModel/identity099.obj" in FACEKIT.files()


def test_the_published_expressions_come_in_the_order_of_the_real_model(real_model):
    assert FACEKIT.expressions == real_model.expression_names
