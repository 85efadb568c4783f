"""pyrender draws what ours draws: outlines within a pixel, depths, colours, and ambient and diffuse light."""

import ctypes
import ctypes.util
import os
import sys
from pathlib import Path

import pytest
import torch
import trimesh

from deep3dmap.errors import MissingDependencyError
from deep3dmap.renderers.mesh import FaceGrids, Lights, Material, MeshRenderer, PyrenderRenderer, UVTexture, VertexColors
from deep3dmap.renderers.mesh.pyrender_renderer import load_pyrender
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras
from tests.renderers.mesh.scenes import ball, cameras, loaded, near_outline, random_colors, unit

BACKGROUND = (0.1, 0.2, 0.3)
FILES = sorted(Path(os.environ.get("DEEP3DMAP_DATA", "/nowhere"), "meshes").glob("suzanne.ply"))


def egl_error() -> str:
    """Why EGL can't be loaded, or nothing."""
    try:
        ctypes.CDLL(ctypes.util.find_library("EGL") or "libEGL.so.1")
    except OSError as error:
        return str(error)
    return ""


needs_egl = pytest.mark.skipif(bool(egl_error()), reason=f"OpenGL's EGL library can't be loaded: {egl_error()}")


@pytest.fixture(scope="module")
def renderer():
    return PyrenderRenderer(BACKGROUND)


def ours(shading="none"):
    return MeshRenderer(shader=dict(type="MeshShader", shading=shading, background=BACKGROUND))


def torus():
    return unit(trimesh.creation.torus(0.7, 0.3))


def mesh_file():
    if not FILES:
        pytest.skip("no meshes/suzanne.ply in DEEP3DMAP_DATA")
    return loaded(FILES[0])


@needs_egl
@pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
@pytest.mark.parametrize("make", [ball, torus, mesh_file])
def test_outlines_and_depths(renderer, make, kind):
    mesh, views = make(), cameras(4, (60, 80), kind, seed=1)
    actual, expected = renderer(mesh, views), ours()(mesh, views)
    masks = [(images.depth > 0) for images in (actual, expected)]
    assert (masks[0] == masks[1])[~near_outline(masks[1:])].all()
    assert (masks[0] != masks[1]).double().mean() < 2e-3
    covered = actual.alpha > 0.5
    assert (covered == masks[1])[~near_outline(masks[1:])].all()
    # where surfaces overlap, a pixel on the inner outline may show either
    both = masks[0] & masks[1]
    assert ((actual.depth - expected.depth).abs()[both] > 1e-4).double().mean() < 2e-3


@needs_egl
def test_skewed_pixels(renderer):
    mesh, views = ball(), cameras(2, (50, 40))
    skewed = Cameras(views.K + torch.tensor([[0.0, 9, 0], [0, 0, 0], [0, 0, 0]]), views.world_to_cam, views.size)
    both = [images.depth > 0 for images in (renderer(mesh, skewed), ours()(mesh, skewed))]
    assert (both[0] != both[1]).double().mean() < 2e-3
    assert (both[0] != (ours()(mesh, views).depth > 0)).double().mean() > 0.02


@needs_egl
def test_faces_through_the_near_plane(renderer):
    mesh = Meshes.pack([torch.tensor([[-1.0, 0.3, -1], [1, 0.3, -1], [0, 0.3, 9]])], [torch.tensor([[0, 1, 2]])])
    pose = torch.eye(3, 4)[None]
    views = Cameras(torch.tensor([[[30.0, 0, 20], [0, 30, 15], [0, 0, 1]]]), pose, (30, 40))
    both = [r(mesh, views) for r in (PyrenderRenderer(near=0.1), MeshRenderer(dict(type="FastRasterizer", near=0.1)))]
    assert ((both[0].depth > 0) == (both[1].depth > 0)).double().mean() > 0.99
    seen = (both[0].depth > 0) & (both[1].depth > 0)
    assert seen.double().mean() > 0.1
    assert ((both[0].depth - both[1].depth).abs() / both[1].depth.clamp(min=0.1))[seen].max() < 1e-3


def textures():
    mesh = ball()
    random = torch.Generator().manual_seed(0)
    uv = mesh.vertices[:, :2] * 0.7 + 0.5
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 5, generator=random), (40, 50), mode="bicubic").clamp(0, 1)
    image = image.permute(0, 2, 3, 1).double()
    return {
        "none": None,
        "vertices": VertexColors(random_colors(mesh)),
        "faces": FaceGrids(torch.rand(len(mesh.faces), 1, 1, 3, generator=random, dtype=torch.float64)),
        "uv": UVTexture(image, uv, mesh.faces),
        "outer edges": UVTexture(image, uv, mesh.faces, "nearest", "reflection", False)
    }


@needs_egl
@pytest.mark.parametrize("name", textures())
@pytest.mark.parametrize("lit", [False, True])
def test_colors(renderer, name, lit):
    mesh, views, texture = ball(), cameras(3, (60, 80)), textures()[name]
    # Phong's specular part has no equivalent in pyrender, whose diffuse part is 0.96 of ours; rough surfaces have next to none
    light = Lights(direction=(1.0, -2.0, -3.0), ambient=(0.3, 0.4, 0.2), diffuse=(0.5, 0.3, 0.6), specular=(0.0, 0.0, 0.0))
    scene = (mesh, views, texture, light if lit else None, Material(shininess=0.1))
    actual, expected = renderer(*scene), ours("phong")(*scene)
    inner = (expected.alpha > 0) & ~near_outline([expected.alpha > 0], 2)
    error = (actual.color - expected.color).abs().amax(-1)
    assert error[inner].median() < (0.03 if lit else 3 / 255)
    blends_borders = name in ("faces", "outer edges")  # of colours, in their pixels
    assert (error[inner] > (0.08 if lit else 0.05)).double().mean() < (0.45 if blends_borders else 0.05)
    torch.testing.assert_close(actual.color[0, 0, 0], torch.tensor(BACKGROUND, dtype=torch.float64))


@needs_egl
def test_a_lamp_at_a_place_lights_the_side_that_faces_it(renderer):
    mesh, views = ball(), cameras(3, (60, 80))
    light = Lights(location=4 * views.centers, specular=(0.0, 0.0, 0.0))
    scene = (mesh, views, None, light, Material(shininess=0.1))
    actual, expected = renderer(*scene), ours("phong")(*scene)
    inner = (expected.alpha > 0) & ~near_outline([expected.alpha > 0], 2)
    assert (actual.color - expected.color).abs()[inner].median() < 0.03


@needs_egl
def test_batches_and_empty_meshes(renderer):
    some, other = ball(1), torus()
    batch = Meshes.pack([some.vertices, some.vertices[:0], other.vertices], [some.faces, some.faces[:0], other.faces])
    views = cameras(3, (30, 40))
    actual, expected = renderer(batch, views), ours()(batch, views)
    assert ((actual.depth > 0) != (expected.depth > 0)).double().mean() < 2e-3
    assert not actual.alpha[1].any() and torch.allclose(actual.color[1], torch.tensor(BACKGROUND, dtype=torch.float64))
    behind = some.with_vertices(some.vertices - 100 * views.axes[0])
    assert not renderer(behind, views[0]).alpha.any()


@needs_egl
def test_what_opengl_cannot_show_is_refused(renderer):
    mesh, views = ball(1), cameras(1, (8, 8))
    with pytest.raises(ValueError, match="FaceGrids"):
        renderer(mesh, views, FaceGrids(torch.zeros(len(mesh.faces), 2, 2, 3)))
    with pytest.raises(ValueError, match="padding 'zeros'"):
        renderer(mesh, views, UVTexture(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2), 0 * mesh.faces, padding="zeros"))
    with pytest.raises(ValueError, match="near"):
        PyrenderRenderer(near=0)


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrender", None)
    with pytest.raises(MissingDependencyError, match="pip install pyrender"):
        load_pyrender()
