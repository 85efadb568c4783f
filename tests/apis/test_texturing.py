"""`export-mesh --texture`: of a tiny network's run and of a hull's, whose photographs are there or not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.apis import export_mesh, load_framework, reconstruct, train
from deep3dmap.apis.inference import config_of
from deep3dmap.cli.app import main
from deep3dmap.datasets.captures.scene import forget_scenes, load_scene
from deep3dmap.errors import CheckpointError, ConfigError, DataError, MissingDependencyError
from deep3dmap.geometry.painting import facing, visible_vertices
from deep3dmap.io.mesh_files import load_mesh

pytest.importorskip("xatlas", reason="needs the extra `mesh`")
HULL = Path(__file__).parents[2] / "configs" / "hull" / "your_own.py"
SMALL = dict(resolution=24, texture_size=64)


@pytest.fixture(scope="module")
def hull(capture_folder, tmp_path_factory) -> Path:
    """The work folder of a hull, three of whose nine views are held out."""
    folder = tmp_path_factory.mktemp("hull")
    options = {"scene.capture": str(capture_folder), "scene.test_views": 3, "model.resolution": 24}
    train(HULL, folder, progress=False, options=options)
    return folder


@pytest.fixture
def moved(hull, capture_folder):
    """The hull and its photographs in another place, while the hull's run still names the old one."""
    there = capture_folder.with_name("elsewhere")
    capture_folder.rename(there)
    forget_scenes()
    yield hull, there
    there.rename(capture_folder)
    forget_scenes()


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_a_run_is_exported_with_a_texture_from_its_photographs(hull, tmp_path, suffix):
    lines = []
    mesh = export_mesh(hull, tmp_path / f"mesh.{suffix}", texture=True, log=lines.append, largest=True, **SMALL)
    written, plain = load_mesh(tmp_path / f"mesh.{suffix}"), load_framework(hull).extract_mesh(24)
    assert written.visual.kind == "texture" and len(written.faces) == len(mesh.faces) == len(plain.faces)
    assert np.allclose(written.bounds, plain.bounds, atol=1e-4)
    assert lines[0].startswith("texture: 64 x 64, from 6 photographs, which show ")
    assert lines[1].startswith("PSNR on 3 held-out views: ") and "dB with the texture, " in lines[1]


def test_the_texture_has_the_colours_of_the_photographs(hull, tmp_path):
    """Where one view sees the surface best, frontally, the texture is within its neighbours' range of colours."""
    mesh = export_mesh(hull, tmp_path / "mesh.glb", texture=True, log=lambda line: None, **SMALL | dict(texture_size=256))
    scene = load_scene(**config_of(hull)[1]["scene"])
    vertices, normals = (torch.tensor(np.asarray(x)) for x in (mesh.vertices, mesh.vertex_normals))
    views = scene.train
    seen = visible_vertices(mesh, views.cameras.centers) & (facing(vertices, normals, views.cameras.centers.double()) > 0.9)
    uv = views.cameras.project(vertices)[0]
    drawn = torch.tensor(mesh.visual.to_color().vertex_colors[:, :3])
    near = []
    for k, pixels in enumerate(uv):
        column, row = pixels[seen[k]].long().T
        near.append((views.images[k, row, column].double() - drawn[seen[k]]).abs().mean())
    assert sum(near) / len(near) < 20  # of 255; other views and neighbouring pixels are mixed in


def test_the_command_prints_the_source_and_the_figures(hull, tmp_path, capsys):
    words = ["export-mesh", hull, tmp_path / "a.glb", "--resolution", 24, "--texture", "--texture-size", 64, "--device", "cpu"]
    assert main(list(map(str, words))) == 0
    out = capsys.readouterr().out
    assert "from 6 photographs" in out and "dB with vertex colours" in out and "a.glb: " in out


def test_a_radiance_network_paints_too(work_dir, tmp_path):
    lines, fine = [], dict(resolution=24, texture_size=256)
    mesh = export_mesh(work_dir, tmp_path / "mesh.glb", texture="network", log=lines.append, device="cpu", **fine)
    assert lines == ["texture: 256 x 256, from the radiance network"]
    vertices = load_framework(work_dir, "cpu").extract_mesh(24)
    assert np.allclose(mesh.triangles, vertices.triangles)
    painted = mesh.visual.to_color().vertex_colors[mesh.faces, :3].astype(int)
    assert np.abs(painted - vertices.visual.vertex_colors[vertices.faces, :3]).mean() < 3


def test_without_photographs_the_radiance_network_paints(work_dir, moved, tmp_path):
    lines = []
    export_mesh(work_dir, tmp_path / "mesh.glb", texture=True, log=lines.append, **SMALL)
    assert lines == ["texture: 64 x 64, from the radiance network"]
    with pytest.raises(DataError, match="--capture"):
        export_mesh(work_dir, tmp_path / "mesh.glb", texture="photographs", **SMALL)


def test_photographs_in_another_place_are_given(moved, tmp_path):
    work_dir, there = moved
    with pytest.raises(DataError, match=r"(?s)no data '.*head'.*give their folder with --capture"):
        export_mesh(work_dir, tmp_path / "mesh.glb", texture=True, **SMALL)
    lines = []
    export_mesh(work_dir, tmp_path / "mesh.glb", texture=True, capture=there, log=lines.append, **SMALL)
    assert "from 6 photographs" in lines[0]


@pytest.mark.parametrize("wrong, error, message", [
    (dict(texture_size=15), ConfigError, "texture_size=15: a texture needs from 16 to 8192 texels"),
    (dict(texture_size=10000), ConfigError, "texture_size=10000"),
    (dict(texture="network"), ConfigError, "Hull has no radiance network"),
    (dict(capture="nowhere"), DataError, "(?s)no data 'nowhere'.*--capture"),
])  # yapf: disable
def test_what_can_not_be_painted_is_refused(hull, tmp_path, wrong, error, message):
    with pytest.raises(error, match=message):
        export_mesh(hull, tmp_path / "mesh.glb", **dict(SMALL, texture=True) | wrong)
    assert not list(tmp_path.iterdir())


def test_a_format_without_textures_is_refused(hull, tmp_path):
    with pytest.raises(DataError, match="can't write a texture to '.ply'"):
        export_mesh(hull, tmp_path / "mesh.ply", texture=True)


def test_a_method_without_a_scene_is_refused(shape_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match="not trained on the photographs of a scene"):
        export_mesh(shape_checkpoint, tmp_path / "mesh.glb", texture=True)


def test_a_missing_package_is_named_before_the_mesh_is_made(hull, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    monkeypatch.setattr("deep3dmap.frameworks.hull.framework.Hull.extract_mesh", lambda *a, **k: pytest.fail("was made"))
    with pytest.raises(MissingDependencyError, match="pip install xatlas"):
        export_mesh(hull, tmp_path / "mesh.glb", texture=True)


def test_a_reconstruction_writes_a_textured_mesh_and_links_it(capture_folder, tmp_path):
    lines, options = [], {"scene.test_views": 3, "model.resolution": 24}
    arguments = dict(method="hull", resolution=24, options=options, log=lines.append, progress=False)
    result = reconstruct(capture_folder, tmp_path / "out", texture=True, **arguments)
    mesh = load_mesh(tmp_path / "out" / "textured.glb")
    assert mesh.visual.kind == "texture" and len(mesh.faces) == len(result.mesh.faces)
    assert any(line.startswith("texture: 1024 x 1024, from 6 photographs") for line in lines)
    assert 'href="textured.glb"' in (tmp_path / "out" / "report.html").read_text()
    reconstruct(capture_folder, tmp_path / "out", overwrite=True, **arguments)
    assert not (tmp_path / "out" / "textured.glb").exists()
    assert "textured.glb" not in (tmp_path / "out" / "report.html").read_text()


def test_a_reconstruction_without_xatlas_ends_before_it_makes_a_folder(capture_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xatlas", None)
    with pytest.raises(MissingDependencyError, match="pip install xatlas"):
        reconstruct(capture_folder, tmp_path / "out", method="hull", texture=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("texture", [False, "network"])
def test_photographs_without_a_texture_from_them_are_refused(texture, hull, tmp_path):
    with pytest.raises(ConfigError, match="capture: .* only with"):
        export_mesh(hull, tmp_path / "mesh.glb", texture=texture, capture=tmp_path)
