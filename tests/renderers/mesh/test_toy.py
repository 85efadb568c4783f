"""The toy renderer draws what ours draws, and its gradients are ours."""

import pytest
import torch

from deep3dmap.renderers.mesh import Lights, MeshRenderer, ToyRenderer, UVTexture, VertexColors
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras
from tests.renderers.mesh.scenes import ball, cameras, random_colors

BACKGROUND = (0.1, 0.2, 0.3)


def ours(sigma: float, lit: bool = False) -> MeshRenderer:
    """Our renderer with settings under which no face is left out of any pixel."""
    shading = "gouraud" if lit else "none"
    if sigma == 0:
        return MeshRenderer(shader=dict(type="MeshShader", shading=shading, background=BACKGROUND))
    rasterizer = dict(type="FastRasterizer", faces_per_pixel=400, blur_radius=40 * sigma)
    return MeshRenderer(rasterizer,
                        dict(type="MeshShader", shading=shading, blending="sigmoid", sigma=sigma, background=BACKGROUND))


@pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
@pytest.mark.parametrize("lit", [False, True])
def test_hard_pictures(kind, lit):
    mesh, views = ball(), cameras(2, (20, 33), kind)
    scene = (mesh, views, VertexColors(random_colors(mesh)), Lights(location=(1.0, -2.0, -3.0)) if lit else None)
    actual, expected = ToyRenderer(background=BACKGROUND)(*scene), ours(0, lit)(*scene)
    assert 0.1 < expected.alpha.mean() < 0.9
    for name in ("color", "alpha", "depth"):
        torch.testing.assert_close(getattr(actual, name), getattr(expected, name), rtol=1e-9, atol=1e-9)


def test_gradients_of_hard_pictures():
    mesh, views = ball(), cameras(2, (20, 33))
    assert_same_gradients(mesh, views, 0, ("color", "depth"))


@pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])
def test_soft_silhouettes_and_their_gradients(kind):
    mesh, views = ball(1), cameras(2, (12, 16), kind)
    alpha = ours(1e-3)(mesh, views).alpha
    assert ((alpha > 0.01) & (alpha < 0.49)).any()
    assert_same_gradients(mesh, views, 1e-3, ("alpha", ))


def assert_same_gradients(mesh, views, sigma, names):
    gradients = []
    for renderer in (ToyRenderer(sigma, BACKGROUND), ours(sigma)):
        vertices, colors = mesh.vertices.clone().requires_grad_(), random_colors(mesh).requires_grad_()
        images = renderer(mesh.with_vertices(vertices), views, VertexColors(colors))
        random = torch.Generator().manual_seed(0)
        values = [getattr(images, name) for name in names]
        loss = sum((torch.rand(value.shape, generator=random).to(value) * value).sum() for value in values)
        gradients.append((*values, *torch.autograd.grad(loss, [vertices, colors], allow_unused=True)))
    for actual, expected in zip(*gradients):
        if expected is not None and bool(expected.any()):
            assert expected.abs().max() > 1e-3
            torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-7)


def test_batches_empty_meshes_and_triangles_behind_the_camera():
    mesh = ball(1)
    behind = mesh.vertices - 100 * cameras(1, (8, 8)).axes[0]
    batch = Meshes.pack([mesh.vertices, mesh.vertices[:0], behind], [mesh.faces, mesh.faces[:0], mesh.faces])
    images = ToyRenderer()(batch, cameras(1, (8, 8)))
    assert images.alpha.flatten(1).amax(1).tolist() == [1, 0, 0]
    assert (images.color[1:] == 1).all() and (images.depth[1:] == 0).all()


def test_bad_input_is_named():
    mesh, views = ball(1), cameras(1, (8, 8))
    with pytest.raises(ValueError, match="sigma"):
        ToyRenderer(-1)
    texture = UVTexture(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2), torch.zeros_like(mesh.faces))
    with pytest.raises(ValueError, match="VertexColors, got UVTexture"):
        ToyRenderer()(mesh, views, texture)
