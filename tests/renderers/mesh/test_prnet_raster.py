"""Meshes that lie in images are drawn as face3d and PRNet draw them."""

import numpy as np
import pytest
import torch

from deep3dmap.renderers.mesh import FaceRasterizer, MeshRenderer, VertexColors
from deep3dmap.renderers.mesh.image_mesh import flattened, image_camera, pixel_texture, visible_vertices
from deep3dmap.structures import Cameras, Meshes
from tests import goldens

GOLDEN = goldens.read("prnet/raster")
SIZE = tuple(GOLDEN["hw"].tolist())
FACES = torch.tensor(GOLDEN["triangles"].astype(np.int64))
EMPTY = -999999.0  # the fixture's z where nothing is seen


def maps(fragments):
    """z, face and barycentric coordinates of all pixels, as the fixture has them where nothing is seen."""
    z = fragments.to_images(-fragments.depth[:, 0], EMPTY)[0]
    face = fragments.to_images(fragments.face[:, 0], -1)[0]
    return z, face, fragments.to_images(fragments.barycentric[:, 0])[0]


def assert_maps(fragments, prefix, tolerance, names=("depth", "face_index", "bary")):
    for actual, name in zip(maps(fragments), names):
        expected = GOLDEN[prefix + name]
        if name == "face_index":
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(actual, expected, atol=tolerance, rtol=tolerance)


def vertices(key="vertices"):
    return torch.tensor(GOLDEN[key])


@pytest.mark.parametrize("rule, prefix, tolerance", [("face3d", "", 1e-6), ("face3d_cpp", "cpp_", 1e-4)])
def test_depth_faces_and_weights(rule, prefix, tolerance):
    assert_maps(FaceRasterizer(rule).draw(vertices(), FACES, SIZE), prefix, tolerance)


@pytest.mark.parametrize("rule, prefix, tolerance", [("face3d", "border_np_", 1e-6), ("face3d_cpp", "border_cpp_", 1e-4)])
def test_faces_across_the_border(rule, prefix, tolerance):
    assert_maps(
        FaceRasterizer(rule).draw(vertices("border_vertices"), FACES, SIZE), prefix, tolerance, ("depth", "face_index"))


@pytest.mark.parametrize("key, rule, tolerance", [("render_colors", "face3d", 1e-6), ("render_colors_ras", "face3d", 1e-6),
                                                  ("cpp_image", "face3d_cpp", 1e-4)])
def test_vertex_colors(key, rule, tolerance):
    fragments = FaceRasterizer(rule).draw(vertices(), FACES, SIZE)
    colors = fragments.interpolate(torch.tensor(GOLDEN["colors"])[FACES])
    np.testing.assert_allclose(fragments.to_images(colors[:, 0])[0], GOLDEN[key], atol=tolerance)


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_textures(mode):
    fragments = FaceRasterizer().draw(vertices(), FACES, SIZE)
    texture = pixel_texture(torch.tensor(GOLDEN["tex"]), torch.tensor(GOLDEN["tex_coords"])[:, :2], FACES, mode)
    colors = texture.sample(fragments, Meshes.pack([vertices()], [FACES]))
    np.testing.assert_allclose(fragments.to_images(colors[:, 0])[0], GOLDEN[f"tex_{mode}"], atol=1e-6)


def test_depth_image_of_mean_depths():
    fragments = FaceRasterizer().draw(*flattened(vertices(), FACES), SIZE)
    np.testing.assert_allclose(fragments.to_images(-fragments.depth[:, 0])[0], GOLDEN["prn_depth_image"], atol=1e-6)


@pytest.mark.parametrize("key, dilations", [("prn_vis_of_vertices", 0), ("prn_visibility", 2)])
def test_visible_vertices(key, dilations):
    np.testing.assert_array_equal(visible_vertices(vertices(), FACES, SIZE, dilations=dilations), GOLDEN[key].astype(bool))


def test_a_config_draws_with_it():
    renderer = MeshRenderer(dict(type="FaceRasterizer"), dict(type="MeshShader", background=(0.0, 0.0, 0.0)))
    images = renderer(Meshes.pack([vertices()], [FACES]), image_camera(SIZE), VertexColors(torch.tensor(GOLDEN["colors"])))
    seen = images.alpha[0].numpy() > 0
    assert (seen != (GOLDEN["face_index"] >= 0)).mean() <= 0.005  # pixels on edges, as coordinates are rounded on the way
    different = np.abs(images.color[0].numpy() - GOLDEN["render_colors"]).max(-1) > 1e-6
    assert different.mean() <= 0.005


def test_perspective_is_refused():
    with pytest.raises(ValueError, match="orthographic"):
        cameras = Cameras(torch.eye(3)[None], torch.eye(3, 4)[None], (4, 4))
        FaceRasterizer()(Meshes.pack([vertices()], [FACES]), cameras)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="face3d_cpp"):
        FaceRasterizer("opengl")
