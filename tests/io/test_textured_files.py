"""Textured meshes in files: they look the same when read again, here and by trimesh alone."""

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from deep3dmap.errors import DataError
from deep3dmap.geometry.lookat import sphere_of_cameras
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.io.textured_files import save_textured_mesh
from deep3dmap.renderers.mesh.drawing import render_mesh
from deep3dmap.structures import Cameras


@pytest.fixture(scope="module")
def textured():
    """A ball with a picture on it whose corners differ, and normals that its faces alone don't give."""
    mesh = trimesh.creation.icosphere(subdivisions=2)
    x, y, z = mesh.vertices.T
    uv = np.stack([0.5 + np.arctan2(y, x) / 7, 0.5 + 0.4 * z], -1)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.fromarray(picture), metallicFactor=0.0,
                                                   roughnessFactor=1.0, doubleSided=True)  # yapf: disable
    mesh.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return mesh


def views():
    K = torch.tensor([[100.0, 0, 32], [0, 100.0, 32], [0, 0, 1]]).double()
    return Cameras(K.expand(4, 3, 3), sphere_of_cameras(4, 4.0).double(), (64, 64))


@pytest.mark.parametrize("name", ["head.glb", "head.obj", "my head (1).obj", "Käthe.obj", "Käthe 2.glb"])
@pytest.mark.parametrize("load", [load_mesh, trimesh.load_mesh])
def test_what_is_read_again_looks_the_same(textured, tmp_path, name, load):
    files = save_textured_mesh(textured, tmp_path / name)
    assert files[-1] == tmp_path / name and len(files) == (1 if name.endswith("glb") else 3)
    assert sorted(tmp_path.iterdir()) == sorted(files)
    found = load(tmp_path / name)
    assert found.visual.kind == "texture"
    assert (render_mesh(found, views()).color - render_mesh(textured, views()).color).abs().max() < 1e-3


def test_an_obj_has_its_texture_at_full_brightness(textured, tmp_path):
    save_textured_mesh(textured, tmp_path / "a.obj")
    material = (tmp_path / "a.mtl").read_text()
    assert "Kd 1.0" in material and "Ks 0.0" in material and "map_Kd a.png" in material
    assert np.array_equal(Image.open(tmp_path / "a.png"), textured.visual.material.baseColorTexture)


def test_a_glb_is_not_metallic(textured, tmp_path):
    save_textured_mesh(textured, tmp_path / "a.glb")
    material = trimesh.load_mesh(tmp_path / "a.glb").visual.material
    assert material.metallicFactor == 0 and material.doubleSided


def test_formats_without_textures_are_refused(textured, tmp_path):
    with pytest.raises(DataError, match=r"can't write a texture to '.ply'; the file name must end with .glb, .obj"):
        save_textured_mesh(textured, tmp_path / "a.ply")


def test_a_place_that_can_not_be_written_is_named(textured, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file/a.obj: the mesh can't be written"):
        save_textured_mesh(textured, tmp_path / "file" / "a.obj")
