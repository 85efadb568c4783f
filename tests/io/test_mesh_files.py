"""Meshes written and read back; what other programs find in the files; broken files."""

import json
import os
import struct

import numpy as np
import pytest
import trimesh

from deep3dmap.errors import DataError
from deep3dmap.io.mesh_files import linear_to_srgb, load_mesh, save_mesh, srgb_to_linear, vertex_colors

FORMATS = ["ply", "obj", "glb"]


@pytest.fixture
def painted():
    """A lopsided sphere with every 8-bit grey, red and blue somewhere."""
    mesh = trimesh.creation.icosphere(3, 0.7)
    mesh.apply_transform(trimesh.transformations.compose_matrix([1, 2, 3], None, [0.3, 0.2, 0.1], [10.0, -3.0, 0.5]))
    count = len(mesh.vertices)
    ramp = np.arange(count) % 256
    colors = np.stack([ramp, 255 - ramp, ramp // 2, np.full(count, 255)], -1).astype(np.uint8)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_colors=colors, process=False)


def glb_tree(path):
    data = path.read_bytes()
    size, = struct.unpack_from("<I", data, 12)
    return json.loads(data[20:20 + size]), data[20 + size + 8:]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_mesh_comes_back_as_it_was(tmp_path, painted, suffix):
    back = load_mesh(save_mesh(painted, tmp_path / f"mesh.{suffix}"))
    assert np.array_equal(back.faces, painted.faces)
    assert back.vertices == pytest.approx(painted.vertices, abs=1e-6)
    assert np.array_equal(back.visual.vertex_colors, painted.visual.vertex_colors)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_mesh_without_colours_comes_back_without(tmp_path, suffix):
    box = trimesh.creation.box((1, 2, 3))
    back = load_mesh(save_mesh(box, tmp_path / f"box.{suffix}"))
    assert back.visual.kind is None and back.volume == pytest.approx(6)


def test_obj_lines_carry_position_and_colour(tmp_path, painted):
    lines = [x.split() for x in save_mesh(painted, tmp_path / "m.obj").read_text().splitlines() if x.startswith("v ")]
    values = np.array([x[1:] for x in lines], float)
    assert values.shape == (len(painted.vertices), 6)
    assert values[:, 3:] == pytest.approx(painted.visual.vertex_colors[:, :3] / 255, abs=1e-6)


def test_glb_colours_are_linear_floats_as_gltf_says(tmp_path, painted):
    tree, binary = glb_tree(save_mesh(painted, tmp_path / "m.glb"))
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert accessor["componentType"] == 5126 and accessor["type"] == "VEC3" and accessor["count"] == len(painted.vertices)
    start = tree["bufferViews"][accessor["bufferView"]].get("byteOffset", 0) + accessor.get("byteOffset", 0)
    colors = np.frombuffer(binary, np.float32, 3 * accessor["count"], start).reshape(-1, 3)
    half_grey = painted.visual.vertex_colors[:, 0] == 188  # sRGB 188 is the intensity 0.5029 (IEC 61966-2-1)
    assert half_grey.any() and colors[half_grey, 0] == pytest.approx(0.5029, abs=1e-4)


def test_a_glb_has_normals_and_a_material_that_is_no_metal(tmp_path, painted):
    tree, _ = glb_tree(save_mesh(painted, tmp_path / "m.glb"))
    primitive = tree["meshes"][0]["primitives"][0]
    assert "NORMAL" in primitive["attributes"]
    assert tree["materials"][primitive["material"]]["pbrMetallicRoughness"]["metallicFactor"] == 0


def test_a_glb_of_another_program_with_8_bit_linear_colours_is_read_as_srgb(tmp_path):
    path, box = tmp_path / "other.glb", trimesh.creation.box()
    box.visual.vertex_colors = np.tile(np.uint8([128, 0, 255, 128]), (8, 1))
    path.write_bytes(box.export(file_type="glb"))  # trimesh stores the bytes as they are, which glTF calls linear
    assert np.unique(load_mesh(path).visual.vertex_colors, axis=0).tolist() == [[188, 0, 255, 128]]


def test_a_glb_of_two_meshes_is_read_as_one(tmp_path):
    scene = trimesh.Scene([trimesh.creation.box((1, 1, 1))])
    scene.add_geometry(trimesh.creation.box((2, 1, 1)), transform=trimesh.transformations.translation_matrix([5, 0, 0]))
    path = tmp_path / "two.glb"
    path.write_bytes(scene.export(file_type="glb"))
    assert load_mesh(path).bounds == pytest.approx(np.array([[-0.5, -0.5, -0.5], [6, 0.5, 0.5]]))


def test_every_srgb_byte_survives_the_way_to_linear_and_back():
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(linear_to_srgb(srgb_to_linear(every).astype(np.float32)), every)


def test_colours_of_faces_become_colours_of_vertices(tmp_path):
    box = trimesh.creation.box()
    box.visual.face_colors = np.tile(np.uint8([200, 100, 50, 255]), (12, 1))
    back = load_mesh(save_mesh(box, tmp_path / "b.ply"))
    assert np.unique(back.visual.vertex_colors, axis=0).tolist() == [[200, 100, 50, 255]]


@pytest.mark.parametrize("name", ["t.png", "t.eps"])
def test_a_texture_can_not_start_a_program(name, tmp_path, monkeypatch):
    """Pillow gives PostScript, whatever the file is called, to a program: Ghostscript."""
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    (tmp_path / "m.mtl").write_text(f"newmtl m\nmap_Kd {name}\n")
    (tmp_path /
     "m.obj").write_text("mtllib m.mtl\nusemtl m\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n")
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *arguments, **options: started.append(arguments))
    vertex_colors(load_mesh(tmp_path / "m.obj"))
    assert not started


def test_a_textured_mesh_keeps_its_colours_at_the_vertices(tmp_path):
    from PIL import Image
    quad = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    image = Image.new("RGB", (64, 64), (10, 20, 30))
    quad.visual = trimesh.visual.TextureVisuals(uv=np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]), image=image)
    back = load_mesh(save_mesh(quad, tmp_path / "q.glb"))
    assert np.unique(back.visual.vertex_colors[:, :3], axis=0).tolist() == [[10, 20, 30]]


def test_folders_on_the_way_are_made_and_nothing_else_is_left(tmp_path, painted):
    save_mesh(painted, tmp_path / "a" / "b" / "mesh.glb")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["mesh.glb"]


def test_meshes_and_paths_that_can_not_be_written_are_named(tmp_path, painted):
    (tmp_path / "file").write_text("in the way")
    faceless = trimesh.Trimesh(np.zeros((3, 3)), process=False)
    for mesh, name, message in ((painted, "file/mesh.ply", r"file/mesh\.ply: the mesh can't be written"),
                                (painted, "mesh.xyz", r"must end with \.ply, \.obj, \.glb"), (faceless, "m.ply", "no faces")):
        with pytest.raises(DataError, match=message):
            save_mesh(mesh, tmp_path / name)


PLY = ("ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\nelement face 1\n"
       "property list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n")


@pytest.mark.parametrize("name, content, message", [
    *((f"m.{suffix}", "", rf"m\.{suffix}") for suffix in FORMATS),
    ("gone.ply", None, r"gone\.ply: no such mesh file"),
    ("points.ply", trimesh.PointCloud(np.eye(3)).export(file_type="ply"), r"points\.ply: holds no triangles"),
    ("m.obj", "v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n", "not finite"),
    ("m.obj", "v 0 0\nv 1 0\nv 1 1\nf 1 2 3\n", r"m\.obj"),
    ("m.ply", PLY, r"m\.ply"),  # a face of a vertex that is not there
])  # yapf: disable
def test_files_that_hold_no_mesh_are_errors_that_name_them(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=message):
        load_mesh(tmp_path / name)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_cut_short_is_an_error(tmp_path, painted, suffix):
    path = save_mesh(painted, tmp_path / f"m.{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[:20] if suffix == "obj" else data[:len(data) // 2])
    with pytest.raises(DataError, match=rf"m\.{suffix}"):
        load_mesh(path)


def test_the_real_meshes_are_read(real_data):
    files = sorted(p for p in (real_data / "meshes").rglob("*") if p.suffix in (".ply", ".obj", ".glb"))
    assert files
    for path in files[:2]:
        assert len(load_mesh(path).faces) > 100


QUAD = "mtllib {}\nusemtl m\nv 0 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nf 1/1 2/2 3/3\n"


@pytest.mark.parametrize("material", ["/dev/zero", "pipe", "../secret.mtl", "gone.mtl"])
def test_materials_that_are_no_files_beside_the_mesh_are_ignored(tmp_path, material):
    folder = tmp_path / "a"
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    (tmp_path / "secret.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (folder / "mesh.obj").write_text(QUAD.format(material))
    assert len(load_mesh(folder / "mesh.obj").faces) == 1


def test_the_material_beside_a_mesh_is_its_colour(tmp_path):
    (tmp_path / "m.mtl").write_text("newmtl m\nKd 1 0 0\n")
    (tmp_path / "mesh.obj").write_text(QUAD.format("m.mtl"))
    assert vertex_colors(load_mesh(tmp_path / "mesh.obj")).tolist() == [[255, 0, 0, 255]] * 3


def in_latin1(mesh, kind: str) -> bytes:
    """A mesh file with an o-umlaut of one byte in its remarks."""
    if kind == "stl":
        return mesh.export(file_type="stl_ascii").encode().replace(b"solid ", b"solid K\xf6rper ", 1)
    content = mesh.export(file_type=kind)
    content = content.encode() if isinstance(content, str) else content
    remark = dict(obj=(b"o ", b"# K\xf6rper\no "), off=(b"OFF\n", b"OFF\n# K\xf6rper\n"),
                  ply=(b"end_header", b"comment K\xf6rper\nend_header"))[kind]  # yapf: disable
    return content.replace(*remark, 1) if remark[0] in content else b"# K\xf6rper\n" + content


@pytest.mark.parametrize("kind", ["obj", "off", "stl", "ply"])
def test_remarks_in_another_encoding_do_no_harm(tmp_path, kind):
    mesh = trimesh.creation.icosphere(1)
    content = in_latin1(mesh, kind)
    assert b"K\xf6rper" in content
    (tmp_path / f"ball.{kind}").write_bytes(content)
    np.testing.assert_allclose(load_mesh(tmp_path / f"ball.{kind}").area, mesh.area, rtol=1e-5)


def test_a_material_whose_name_is_in_another_encoding_is_found(tmp_path):
    (tmp_path / "m\xf6bel.mtl").write_bytes(b"# M\xf6bel\nnewmtl m\nKd 1 0 0\n")
    (tmp_path / "mesh.obj").write_bytes(QUAD.format("m\xf6bel.mtl").encode("latin-1"))
    assert vertex_colors(load_mesh(tmp_path / "mesh.obj")).tolist() == [[255, 0, 0, 255]] * 3
