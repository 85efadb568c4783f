"""PRNet's network with the pose as an affine map."""

import pytest
import torch

from deep3dmap.backbones.posed_resfcn import CENTRE, FACE, PosedResFCN, mean_face
from deep3dmap.structures.uv_layout import UVLayout


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PosedResFCN(size=1, resolution=128).eval()


def test_it_starts_from_the_mean_face_in_the_middle_of_the_crop(network):
    with torch.no_grad():
        network.decoder[-1].norm.weight.zero_()
        maps = network(torch.rand(2, 3, 128, 128))
    marks = UVLayout.load("ict", 128).landmark_points(maps)[0]
    box = marks.amax(0) - marks.amin(0)
    assert box[:2].mean().item() == pytest.approx(FACE, rel=1e-4)
    assert abs((marks.amax(0) + marks.amin(0))[0].item() / 2 - CENTRE) < 0.02
    assert marks[30, 2] > marks[[0, 8, 16], 2].max()


def test_the_pose_moves_the_whole_face(network):
    image = torch.rand(1, 3, 128, 128)
    before = network(image)
    turned = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    with torch.no_grad():
        bias = network.pose.bias.view(3, 4)
        start = bias.clone()
        bias.copy_(turned @ bias)
        after = network(image)
        bias.copy_(start)
    expected = torch.einsum("ij,njrc->nirc", turned, before)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_the_mean_face_has_the_size_of_its_landmarks_box():
    for size in (128, 256):
        layout = UVLayout.load("ict", size)
        marks = layout.landmark_points(mean_face(layout).view(3, size, size))
        assert (marks.amax(0) - marks.amin(0))[:2].mean().item() == pytest.approx(1, rel=1e-5)


def test_the_copy_for_inference_maps_alike(network):
    image = torch.rand(2, 3, 128, 128)
    torch.testing.assert_close(network.fused()(image), network(image), atol=1e-4, rtol=1e-4)
