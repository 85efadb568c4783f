"""Invalid input of renderers raises one error that names it."""

import pytest
import torch

from deep3dmap.registry import RENDERERS, build_part
from deep3dmap.renderers.mesh import (
    FaceGrids,
    FastRasterizer,
    Lights,
    Material,
    MeshRenderer,
    ToyRenderer,
    UVTexture,
    VertexColors,
)
from deep3dmap.structures import Cameras, Meshes
from tests.renderers.mesh.scenes import ball, cameras

RENDERERS_TESTED = dict(ours=MeshRenderer(), toy=ToyRenderer(), exact=MeshRenderer(dict(type="RayCastRasterizer")))
RENDERER = pytest.mark.parametrize("renderer", RENDERERS_TESTED.values(), ids=RENDERERS_TESTED.keys())
IMAGE, UV = torch.zeros(1, 2, 2, 3), torch.zeros(4, 2)


@RENDERER
def test_vertices_that_are_not_finite(renderer):
    mesh = ball(1)
    mesh.vertices[5, 1] = torch.nan
    with pytest.raises(ValueError, match="vertex 5 of the meshes is not finite"):
        renderer(mesh, cameras(1, (4, 4)))


@RENDERER
@pytest.mark.parametrize("index", [-1, 42])
def test_indices_out_of_range(renderer, index):
    mesh = ball(1)
    faces = mesh.faces.clone()
    faces[7, 2] = index
    with pytest.raises(ValueError, match=f"vertex indices from .*{index}.*, but the meshes have 42 vertices"):
        renderer(Meshes(mesh.vertices, faces, (42, ), (len(faces), )), cameras(1, (4, 4)))
    with pytest.raises(ValueError, match=f"mesh 0: faces have vertex indices from .*{index}"):
        Meshes.pack([mesh.vertices], [faces])


@RENDERER
def test_as_many_cameras_as_meshes(renderer):
    mesh = ball(1)
    with pytest.raises(ValueError, match="2 meshes but 3 cameras"):
        renderer(Meshes.pack([mesh.vertices] * 2, [mesh.faces] * 2), cameras(3, (4, 4)))


@RENDERER
@pytest.mark.parametrize("texture, message", [
    (VertexColors(torch.zeros(41, 3)), "VertexColors: colors of 41 vertices, but the meshes have 42"),
    (FaceGrids(torch.zeros(79, 2, 2, 3)), "FaceGrids: colors of 79 faces, but the meshes have 80"),
    (UVTexture(IMAGE, UV, torch.zeros(0, 3, dtype=torch.int64)), "UVTexture: faces hold .* of 0 faces, but .* have 80"),
    (UVTexture(IMAGE, UV[:0], torch.zeros(80, 3, dtype=torch.int64)), "UVTexture: .* but there are 0 texture coordinates"),
    (UVTexture(IMAGE, UV, torch.full((80, 3), 4)), "UVTexture: faces have indices from 4 to 4, but there are 4 "),
    (UVTexture(IMAGE.expand(2, 2, 2, 3), UV, torch.zeros(80, 3, dtype=torch.int64)), "UVTexture: 2 images, .* 1 meshes")
])  # yapf: disable
def test_textures_of_other_meshes(renderer, texture, message):
    if isinstance(renderer, ToyRenderer) and not isinstance(texture, VertexColors):
        message = "ToyRenderer shows VertexColors"
    with pytest.raises(ValueError, match=message):
        renderer(ball(1), cameras(1, (4, 4)), texture)


def test_as_many_channels_as_the_background_has():
    mesh, views, grey = ball(1), cameras(1, (4, 4)), VertexColors(torch.ones(42, 1))
    with pytest.raises(ValueError, match="1 channels, but background has 3"):
        MeshRenderer()(mesh, views, grey)
    plain = dict(type="MeshShader", shading="none", background=[0.0])
    assert MeshRenderer(shader=plain)(mesh, views, grey).color.shape == (1, 4, 4, 1)


@pytest.mark.parametrize("setting", [
    dict(faces_per_pixel=0), dict(blur_radius=-1e-3), dict(blur_radius=float("nan")), dict(near=0.0), dict(near=float("nan"))
])  # yapf: disable
def test_settings_of_rasterizers(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        FastRasterizer(**setting)


@pytest.mark.parametrize("name", ["shading", "blending"])
def test_settings_of_shaders(name):
    with pytest.raises(ValueError, match=f"{name}='cubist': expected one of"):
        RENDERERS.get("MeshShader")(**{name: "cubist"})


@RENDERER
@pytest.mark.parametrize("light, material, message", [
    (Lights(location=torch.zeros(2, 3)), Material(), "Lights.location has 2 rows, but there are 3 images"),
    (Lights(direction=(0.0, 0.0, -1.0)), Material(shininess=torch.ones(4)), "Material.shininess has 4 rows")
])  # yapf: disable
def test_lights_for_another_number_of_images(renderer, light, material, message):
    with pytest.raises(ValueError, match=message):
        renderer(ball(1), cameras(3, (4, 4)), None, light, material)


def test_a_light_is_near_or_far():
    with pytest.raises(ValueError, match="location or a direction"):
        Lights(location=(0.0, 0.0, 0.0), direction=(0.0, 0.0, 1.0))


@RENDERER
def test_no_cameras_and_cameras_that_are_not_finite(renderer):
    views = cameras(1, (4, 4))
    with pytest.raises(ValueError, match="no cameras"):
        renderer(ball(1), views[:0])
    with pytest.raises(ValueError, match="K or world_to_cam of the cameras is not finite"):
        renderer(ball(1), Cameras(views.K * torch.nan, views.world_to_cam, views.size))


@RENDERER
@pytest.mark.parametrize("size", [(0, 4), (4.0, 4.0)])
def test_image_sizes(renderer, size):
    views = cameras(1, (4, 4))
    object.__setattr__(views, "size", size)
    with pytest.raises(ValueError, match="image size .* expected height and width"):
        renderer(ball(1), views)


@pytest.mark.parametrize("setting", [dict(sigma=0.0), dict(gamma=-1.0), dict(near=2.0, far=1.0)])
def test_settings_of_blending(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        RENDERERS.get("MeshShader")(blending="softmax", **setting)


@pytest.mark.parametrize("config", [
    dict(type="MeshRenderer", shader=dict(type="MeshShader", blending="outline")),
    dict(type="ToyRenderer", sigma=1e-3)
], ids=["outline", "toy"])  # yapf: disable
def test_a_vertex_at_depth_zero_leaves_gradients_finite(config):
    mesh, views = ball(1), cameras(1, (16, 16))
    pose = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]]]).to(mesh.vertices)
    views, vertices = Cameras(views.K, pose, views.size), mesh.vertices.clone()
    vertices[0] = torch.tensor([0.1, 0.2, -4.0])
    vertices.requires_grad_()
    images = build_part(config, RENDERERS)(mesh.with_vertices(vertices), views)
    (images.color.sum() + images.alpha.sum() + images.depth.sum()).backward()
    assert vertices.grad.isfinite().all() and vertices.grad.any()


def test_a_texture_image_for_each_mesh_has_its_own_precision():
    mesh = ball(1)
    both = Meshes.pack([mesh.vertices] * 2, [mesh.faces] * 2).to(torch.float64)
    images = torch.tensor([0.25, 0.75])[:, None, None, None].expand(2, 2, 2, 3)
    color = MeshRenderer()(both, cameras(1, (8, 8)), UVTexture(images, UV, torch.zeros_like(both.faces))).color
    assert color[0, 4, 4, 0] == 0.25 and color[1, 4, 4, 0] == 0.75
