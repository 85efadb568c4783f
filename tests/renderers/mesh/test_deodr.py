"""deodr draws what ours draws, up to its smooth outlines, and has the gradients of its pictures."""

import sys

import pytest
import torch

from deep3dmap.errors import MissingDependencyError
from deep3dmap.renderers.mesh import DeodrRenderer, FaceGrids, Lights, MeshRenderer, VertexColors
from deep3dmap.renderers.mesh.deodr_renderer import load_deodr
from deep3dmap.structures import Cameras, Meshes, OrthographicCameras
from tests.renderers.mesh.scenes import ball, cameras, near_outline, random_colors

BACKGROUND = (0.1, 0.2, 0.3)
KINDS = pytest.mark.parametrize("kind", [Cameras, OrthographicCameras])


@pytest.fixture(scope="module")
def renderer():
    pytest.importorskip("deodr", reason="deodr is not installed")
    return DeodrRenderer(background=BACKGROUND)


@KINDS
@pytest.mark.parametrize("lit", [False, True])
def test_pictures(renderer, kind, lit):
    mesh, views = ball(), cameras(3, (60, 80), kind)
    scene = (mesh, views, VertexColors(random_colors(mesh)), Lights(location=(1.0, -2.0, -3.0)) if lit else None)
    ours = MeshRenderer(shader=dict(type="MeshShader", shading="gouraud", background=BACKGROUND))
    actual, expected = renderer(*scene), ours(*scene)
    away = ~near_outline([expected.alpha > 0], 2)
    assert torch.equal((actual.alpha > 0.5)[away], (expected.alpha > 0)[away])
    for name in ("color", "depth"):
        error = (getattr(actual, name) - getattr(expected, name)).abs()[away]
        assert (error > 1e-6).double().mean() < 0.02, name  # folds of the surface are smooth outlines as well


@KINDS
def test_gradients_are_finite_differences(renderer, kind):
    mesh, views = ball(1), cameras(2, (24, 30), kind)
    inputs = [mesh.vertices, random_colors(mesh), views.K, views.world_to_cam]
    random = torch.Generator().manual_seed(0)
    weights = [torch.rand(shape, generator=random, dtype=torch.float64) for shape in ((2, 24, 30, 3), (2, 24, 30))]

    def loss(vertices, colors, K, pose):
        images = renderer(mesh.with_vertices(vertices), kind(K, pose, views.size), VertexColors(colors))
        return (weights[0] * images.color).sum() + (weights[1] * images.alpha).sum()

    leaves = [x.clone().requires_grad_() for x in inputs]
    gradients = torch.autograd.grad(loss(*leaves), leaves)
    for i, gradient in enumerate(gradients):
        direction = gradient / gradient.norm()
        sides = [loss(*inputs[:i], inputs[i] + side * 1e-6 * direction, *inputs[i + 1:]) for side in (-1, 1)]
        assert ((sides[1] - sides[0]) / 2e-6).item() == pytest.approx(gradient.norm().item(), rel=0.02)


def test_batches_empty_meshes_and_faces_behind_the_camera(renderer):
    mesh, views = ball(1), cameras(1, (16, 20))
    behind = mesh.vertices - 100 * views.axes[0]
    batch = Meshes.pack([mesh.vertices, mesh.vertices[:0], behind], [mesh.faces, mesh.faces[:0], mesh.faces])
    images = renderer(batch, views)
    assert images.alpha.flatten(1).amax(1).tolist() == pytest.approx([1, 0, 0]) and not images.depth[1:].any()
    assert torch.allclose(images.color[1:], torch.tensor(BACKGROUND, dtype=torch.float64))


def test_bad_input_is_named(renderer):
    mesh = ball(0)
    with pytest.raises(ValueError, match="VertexColors, got FaceGrids"):
        renderer(mesh, cameras(1, (4, 4)), FaceGrids(torch.zeros(20, 1, 1, 3)))
    for name in ("sigma", "near"):
        with pytest.raises(ValueError, match=name):
            DeodrRenderer(**{name: 0.0})


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    for name in ("deodr", "deodr.differentiable_renderer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="pip install deodr"):
        load_deodr()
