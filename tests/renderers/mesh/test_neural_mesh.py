"""Neural re-rendering computes what Kato et al.'s renderer does: images, and the approximate gradients of each."""

import pytest
import torch

from deep3dmap.renderers.mesh import FaceCubes, NeuralMeshRenderer, blending
from deep3dmap.renderers.mesh.neural_mesh import far_depth
from deep3dmap.renderers.mesh.selection import Triangles
from deep3dmap.structures import Meshes
from tests import goldens

FLIP = torch.tensor([1.0, -1.0, 1.0])  # the fixture's image coordinates have y up
NEAR, FAR, EPSILON, BACKGROUND = 0.1, 100.0, 1e-3, (0.2, 0.4, 0.6)  # the fixture's settings


def assert_map(actual, expected, tolerance=1e-5, share=0.005):
    """A rasterised map; a pixel on an edge may go to the neighbour."""
    expected = torch.as_tensor(expected)
    assert actual.shape == expected.shape
    different = (actual - expected).abs() > tolerance
    assert different.float().mean() <= share, (actual - expected).abs().max()


def assert_gradient(actual, expected):
    expected = torch.as_tensor(expected)
    assert (actual - expected).abs().max() <= 5e-4 * expected.abs().max()


def draw(golden, prefix):
    """The fixture's triangles, their textures, and images of them."""
    corners, textures = (torch.tensor(golden[key][0], requires_grad=True) for key in ("faces", "textures"))
    index = torch.arange(len(corners))
    triangles = Triangles(corners * FLIP, torch.zeros_like(index), index)
    background = torch.tensor(BACKGROUND)
    meshes = Meshes.pack([corners.detach().flatten(0, 1)], [torch.arange(3 * len(corners)).view(-1, 3)])

    def paint(fragments):
        return blending.hard_blend(FaceCubes(textures, EPSILON).sample(fragments, meshes), fragments, background)

    anti_aliasing = prefix == "aa"
    renderer = NeuralMeshRenderer(dict(type="NeuralMeshRasterizer", near=NEAR, far=FAR, fill_back=False),
                                  dict(type="MeshShader", background=BACKGROUND), anti_aliasing, EPSILON)  # yapf: disable
    images = renderer.draw(triangles, (1, *golden[f"{prefix}/alpha"].shape[1:]), paint)
    depth = far_depth(images.fragments, FAR, anti_aliasing)
    return corners, textures, {"rgb": images.color.permute(0, 3, 1, 2), "alpha": images.alpha, "depth": depth}


@pytest.mark.parametrize("prefix", ["noaa", "aa"])
def test_images_and_approximate_gradients(prefix):
    golden = goldens.read("gan2shape/rasteriser")
    corners, textures, images = draw(golden, prefix)
    for name, image in images.items():
        assert_map(image, golden[f"{prefix}/{name}"])
        loss = (image * torch.tensor(golden[f"{prefix}/{name}_cot"])).sum()
        leaves = [corners, textures] if name == "rgb" else [corners]
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        for gradient, leaf in zip(gradients, ("faces", "textures")):
            assert_gradient(gradient, golden[f"{prefix}/{name}_grad_{leaf}"][0])
