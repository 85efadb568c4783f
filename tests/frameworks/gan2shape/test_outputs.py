"""What is written of a picture: textured meshes, and videos of turned and relit ones."""

import io

import numpy as np
import pytest
import torch
import trimesh

from deep3dmap.frameworks.gan2shape.canonical import Canonical, Light
from deep3dmap.frameworks.gan2shape.outputs import GAINS, LIGHT_X, LIGHT_Y, Outputs, Shown, _relit, _turned
from deep3dmap.frameworks.gan2shape.pseudo import PseudoDraws, pseudo_samples, relit
from deep3dmap.io.mesh_files import load_mesh
from deep3dmap.io.videos import VideoReader
from deep3dmap.renderers import DepthImageRenderer
from deep3dmap.renderers.depth_image.renderer import sweep

SIZE = 12


@pytest.fixture
def shown() -> Shown:
    """A bump of random colours, seen from its front in a light from the side."""
    random, renderer = torch.Generator().manual_seed(5), DepthImageRenderer(size=SIZE)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    depth, albedo = 1 + 0.05 * (x**2 + y**2)[None], torch.rand(1, 3, SIZE, SIZE, generator=random) * 2 - 1
    view, light = torch.tensor([[0.1, -0.2, 0, 0.01, 0, 0]]), torch.tensor([[-0.2, 0.1, 0.7, -0.3]])
    canonical = Canonical(depth, albedo, renderer.normals(depth), view, light)
    found = canonical.shown(renderer)
    return Shown(found["image"], found, renderer, -0.6, found["image"] * 0.5, lambda images: -images)


def test_in_its_own_light_the_shape_looks_as_it_does(shown):
    own = relit(shown.canonical, shown.found["light"])
    torch.testing.assert_close(own, shown.found["texture"])


def test_the_video_of_lights_shows_the_picture_in_twenty_lights(shown):
    drawn, sampled = _relit(shown)
    assert len(drawn) == len(sampled) == len(GAINS) * len(LIGHT_Y) * len(LIGHT_X) == 20
    canonical, number = shown.canonical, 13  # gain 0.6, y 0, x 0.7
    light = Light(canonical.light[:, 0] / 2 + 0.5 - 0.36, canonical.light[:, 1] / 2 + 0.5 + 0.6,
                  torch.nn.functional.normalize(torch.tensor([[0.7, 0.0, 1.0]])))  # yapf: disable
    texture = light.texture(canonical.albedo, light.diffuse_shading(canonical.normals))
    torch.testing.assert_close(sampled[number:number + 1], shown.renderer.sampled(texture, canonical.depth, canonical.view))
    alone = shown.renderer.turned(texture, canonical.depth, torch.zeros(1, 6), after=canonical.view)
    torch.testing.assert_close(drawn[number], alone[0, 0])


def test_turned_pictures_for_the_gan_are_pseudo_samples_in_the_pictures_light(shown):
    views = sweep(1, 30, 3)
    units = views / torch.tensor([torch.pi / 3] * 3 + [0.1, 0.1, 1.0])
    draws = PseudoDraws(shown.found["light"][:, 2:].expand(3, 2), torch.zeros(3), units)
    expected, _ = pseudo_samples(shown.canonical, torch.ones(1, 1, SIZE, SIZE), draws, -0.6, shown.renderer)
    torch.testing.assert_close(_turned(shown, views)[1].clamp(-1, 1), expected)


def test_there_is_a_video_of_the_renderings_and_one_by_the_gan_for_each(shown, tmp_path):
    films = Outputs(frames=4).films(shown)
    assert set(films) == {f"{name}{kind}.mp4" for name in ("yaw", "pitch", "lights") for kind in ("", "_gan")}
    for name, count in (("yaw", 6), ("pitch_gan", 2), ("lights", 20), ("lights_gan", 20)):
        (tmp_path / "a.mp4").write_bytes(films[f"{name}.mp4"])
        video = VideoReader(tmp_path / "a.mp4")
        assert video.frame(count - 1).shape == (256, 256, 3) and video.frame(count) is None
    video = [(tmp_path / "a.mp4").write_bytes(films[f"lights{kind}.mp4"]) and VideoReader(tmp_path / "a.mp4").frame(3)
             for kind in ("", "_gan")]  # yapf: disable
    sampled = _relit(shown)[1][3].mean()
    assert abs(video[1].mean() / 127.5 - 1 + sampled) < 0.05  # the GAN here makes negatives
    assert Outputs(videos=False).films(shown) == {}
    shown.inverted = None
    assert set(Outputs(frames=1).films(shown)) == {"yaw.mp4", "pitch.mp4", "lights.mp4"}


def test_meshes_have_the_albedo_as_colours_and_as_texture(shown, tmp_path):
    found = Outputs(videos=False, obj=True).of("bump", shown, True)
    assert set(found.files) == {"mesh.glb", "mesh.obj", "mesh.mtl", "mesh.png"}
    for name, data in found.files.items():
        (tmp_path / name).write_bytes(data)
    colors = ((shown.found["albedo"][0] / 2 + 0.5) * 255).round().permute(1, 2, 0).reshape(-1, 3).numpy()
    assert np.array_equal(found.mesh.visual.vertex_colors[:, :3], colors)
    textured = trimesh.load_mesh(io.BytesIO(found.files["mesh.glb"]), file_type="glb", process=False)
    assert np.array_equal(textured.visual.to_color().vertex_colors[:, :3], colors)
    for name in ("mesh.glb", "mesh.obj"):
        assert len(load_mesh(tmp_path / name).faces) == len(found.mesh.faces) == 2 * (SIZE - 1)**2


def test_a_mesh_is_upright_and_faces_its_viewer(shown):
    mesh, rows = Outputs(videos=False).of("bump", shown, True).mesh, np.arange(SIZE**2) // SIZE
    assert mesh.vertices[rows == 0, 1].min() > mesh.vertices[rows == SIZE - 1, 1].max()
    assert mesh.face_normals[:, 2].min() > 0
    middle = np.abs(mesh.vertices[:, :2]).sum(1).argmin()
    assert mesh.vertices[middle, 2] > mesh.vertices[[0, -1], 2].max()  # the bump is nearest


def test_pictures_of_a_result(shown):
    found = Outputs(videos=False).of("bump", shown, False)
    assert found.mesh is None and not found.files
    assert {"input", "inverted", "rgb", "albedo", "canonical", "depth", "mask", "normals", "turned_0"} <= set(found.images)
    assert torch.equal(found.images["inverted"], (shown.image[0] * 0.5).permute(1, 2, 0) / 2 + 0.5)
    inside = found.images["mask"]
    assert (found.images["normals"][1:-2, 1:-2][inside[1:-2, 1:-2]][:, 2] > 0).all()  # towards the viewer
    nearest = torch.where(inside, found.arrays["depth"], 9.0).argmin()
    assert found.images["depth"].argmax() == nearest
    shown.inverted = None
    alone = Outputs(videos=False).of("bump", shown, True)
    assert "inverted" not in alone.images and "latent isn't known" in alone.notes[0]
