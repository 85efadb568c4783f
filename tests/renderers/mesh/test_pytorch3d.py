"""The adapter of PyTorch3D: conversions against its outputs; its parts against ours, if installed."""

import sys

import numpy as np
import pytest
import torch

from deep3dmap.errors import MissingDependencyError
from deep3dmap.renderers.mesh import (
    FaceGrids,
    FastRasterizer,
    Lights,
    MeshRenderer,
    UVTexture,
    VertexColors,
    pytorch3d_conversions,  # yapf: disable
)
from deep3dmap.renderers.mesh.blending import coverage
from deep3dmap.renderers.mesh.pytorch3d_parts import load_pytorch3d
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras
from tests import goldens
from tests.renderers.mesh.mesh_goldens import camera_of
from tests.renderers.mesh.scenes import ball, cameras, random_colors

SHADER_FILES = goldens.files("render/shader_*")
WITH_FRAGMENTS = [f for f in SHADER_FILES if "softphong_frag_zbuf" in goldens.read(f"render/shader_{f}").files]


def mesh_of(golden) -> Meshes:
    return Meshes.pack([torch.tensor(golden["verts"])], [torch.tensor(golden["faces"].astype(np.int64))])


@pytest.mark.parametrize("case", goldens.cases("render/cameras", r"(.*)_opencv_K"))
def test_cameras_from_opencv(case):
    golden = goldens.read("render/cameras")
    K, R, t = (torch.tensor(golden[f"{case}_opencv_{name}"]) for name in ("K", "R", "t"))
    ours = Cameras(K, torch.cat([R, t[..., None]], -1), tuple(golden[f"{case}_image_size_hw"].tolist()))
    kind, theirs = pytorch3d_conversions.camera_arguments(ours, len(K))
    assert kind == "PerspectiveCameras"
    for name in ("R", "T", "focal_length", "principal_point"):
        np.testing.assert_allclose(theirs[name], golden[f"{case}_{name}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHADER_FILES)
def test_cameras_of_the_shader_fixtures(name):
    golden = goldens.read(f"render/shader_{name}")
    ours = camera_of(golden)
    kind, theirs = pytorch3d_conversions.camera_arguments(ours, 3)
    assert kind == ("OrthographicCameras" if "cam_scale_xyz" in golden.files else "PerspectiveCameras")
    for key in ("R", "T"):
        np.testing.assert_allclose(theirs[key], np.repeat(golden[f"cam_{key}"], 3, 0), atol=1e-6)
    view = torch.tensor(golden["verts"]) @ theirs["R"][0] + theirs["T"][0]
    np.testing.assert_allclose(view, golden["view"], rtol=1e-5, atol=1e-5)
    xy = view[:, :2] if ours.orthographic else view[:, :2] / view[:, 2:]
    ndc = xy * theirs["focal_length"][0] + theirs["principal_point"][0]
    np.testing.assert_allclose(ndc, golden["ndc"][:, :2], rtol=1e-5, atol=1e-5)


def images_of(golden, keys, prefix="") -> list[torch.Tensor]:
    images = [torch.tensor(golden[prefix + key]) for key in keys]
    return [images[0].long()[None], *(image[None] for image in images[1:])]


@pytest.mark.parametrize("name", WITH_FRAGMENTS)
def test_their_fragments_blended_by_ours(name):
    golden = goldens.read(f"render/shader_{name}")
    face, depth, distance = images_of(golden, ("pix_to_face", "zbuf", "dists"), "softphong_frag_")
    images = face, depth, depth[..., None].expand(*depth.shape, 3), distance
    fragments = pytorch3d_conversions.from_fragment_images(images, mesh_of(golden))
    for again, image in zip(pytorch3d_conversions.to_fragment_images(fragments, mesh_of(golden)), images):
        assert torch.equal(again, image)
    expected = torch.tensor(golden["softphong_point_image"])[..., 3]
    if int(golden["softphong_point_faces_per_pixel"]) == face.shape[-1]:
        alpha = 1 - torch.prod(1 - coverage(fragments, float(golden["sigma_gamma"][0])), -1)
        assert (fragments.to_images(alpha)[0] - expected).abs().max() <= 2e-3


def test_their_fragments_textured_by_ours():
    golden = goldens.read("render/textures")
    images = images_of(golden, ("pix_to_face", "zbuf", "bary", "dists"))
    mesh = Meshes.pack([torch.tensor(golden["verts_ndc"])], [torch.tensor(golden["faces"].astype(np.int64))])
    fragments = pytorch3d_conversions.from_fragment_images(tuple(images), mesh)
    assert len(fragments.pixel) < images[0][..., 0].numel()
    texels = VertexColors(torch.tensor(golden["vertex_colors"])).sample(fragments, mesh)
    np.testing.assert_allclose(fragments.to_images(texels)[0], golden["vertex_texels"], atol=1e-5)
    for again, image in zip(pytorch3d_conversions.to_fragment_images(fragments, mesh), images):
        assert torch.equal(again, image)


def test_faces_of_a_mesh_that_several_cameras_see_are_numbered_on():
    mesh, views = ball(1), cameras(3, (9, 12))
    fragments = FastRasterizer(4, 1e-3)(mesh, views)
    face, *others = pytorch3d_conversions.to_fragment_images(fragments, mesh)
    for i in range(3):
        mine = face[i][face[i] >= 0]
        assert len(mine) and 80 * i <= mine.min() and mine.max() < 80 * (i + 1)
    back = pytorch3d_conversions.from_fragment_images((face, *others), mesh)
    for name in ("pixel", "face", "depth", "barycentric", "distance"):
        assert torch.equal(getattr(back, name), getattr(fragments, name))


def test_textures_and_meshes_of_each_view():
    some, other = ball(1), ball(0)
    batch = Meshes.pack([some.vertices, other.vertices], [some.faces, other.faces])
    arguments = pytorch3d_conversions.mesh_arguments(batch, 2)
    assert torch.equal(arguments["verts"][1], other.vertices) and torch.equal(arguments["faces"][1], other.faces)
    kind, values = pytorch3d_conversions.texture_arguments(VertexColors(random_colors(batch)), batch, 2)
    assert kind == "TexturesVertex" and [len(x) for x in values["verts_features"]] == [42, 12]
    kind, values = pytorch3d_conversions.texture_arguments(FaceGrids(torch.zeros(80, 2, 2, 3)), some, 3)
    assert kind == "TexturesAtlas" and [len(x) for x in values["atlas"]] == [80] * 3
    texture = UVTexture(torch.zeros(1, 4, 4, 3), torch.rand(5, 2), torch.zeros(100, 3, dtype=torch.int64), padding="zeros")
    kind, values = pytorch3d_conversions.texture_arguments(texture, batch, 2)
    assert kind == "TexturesUV" and [len(x) for x in values["faces_uvs"]] == [80, 20] and values["padding_mode"] == "zeros"


def test_textures_that_repeat_are_refused():
    mesh = ball(0)
    texture = UVTexture(torch.zeros(1, 4, 4, 3), torch.rand(5, 2), torch.zeros_like(mesh.faces), padding="repeat")
    with pytest.raises(ValueError, match="padding 'repeat'"):
        pytorch3d_conversions.texture_arguments(texture, mesh, 1)


@pytest.mark.parametrize("lights, kind", [(Lights(), "AmbientLights"), (Lights(location=(1.0, 2.0, 3.0)), "PointLights"),
                                          (Lights(direction=torch.ones(2, 3)), "DirectionalLights")])  # yapf: disable
def test_lights(lights, kind):
    name, values = pytorch3d_conversions.light_arguments(lights)
    assert name == kind and all(value.shape[1] == 3 for value in values.values())
    assert values["ambient_color"].tolist() == [[0.5, 0.5, 0.5]]


def test_skew_is_refused():
    views = cameras(1, (4, 4))
    skewed = Cameras(views.K + torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]]), views.world_to_cam, (4, 4))
    with pytest.raises(ValueError, match="skew"):
        pytorch3d_conversions.camera_arguments(skewed, 1)


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    with pytest.raises(MissingDependencyError, match="pip install .*pytorch3d"):
        load_pytorch3d()


LOOKS = [("phong", "hard"), ("flat", "hard"), ("gouraud", "softmax"), ("phong", "softmax"), ("none", "sigmoid")]


@pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
@pytest.mark.parametrize("shading, blending", LOOKS)
def test_pictures_and_gradients_beside_ours(kind, shading, blending):
    pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed: it has no package, and must be built")
    mesh, views = ball(1).to(torch.float32), cameras(2, (16, 20), kind).to(torch.float32)
    lights = Lights(location=(1.0, -2.0, -3.0))
    pictures = []
    for rasterizer, shader in (("PyTorch3DRasterizer", "PyTorch3DShader"), ("FastRasterizer", "MeshShader")):
        look = dict(type=shader, shading=shading, blending=blending, sigma=1e-3, gamma=1e-2)
        renderer = MeshRenderer(dict(type=rasterizer, faces_per_pixel=6, blur_radius=1e-3), look)
        vertices, colors = mesh.vertices.clone().requires_grad_(), random_colors(mesh).requires_grad_()
        images = renderer(mesh.with_vertices(vertices), views, VertexColors(colors), lights)
        loss = (images.color**2).sum() + (images.alpha**2).sum() + images.depth.sum()
        pictures.append((images.color, images.alpha, images.depth, *torch.autograd.grad(loss, [vertices, colors])))
    for theirs, ours in zip(*pictures):
        assert ((theirs - ours).abs() > 1e-3 * ours.abs().max()).double().mean() <= 0.01
