"""A head placed in a scene: distances, gradients, and what moves it."""

import pytest
import torch

from deep3dmap.frameworks.h3dnet import PlacedHead
from deep3dmap.frameworks.h3dnet.prior import prior_arrays
from deep3dmap.frameworks.h3dnet.start import known_scale
from deep3dmap.geometry.rotations import quaternion_to_rotation
from deep3dmap.io.npz import npz_bytes
from tests.frameworks.h3dnet.heads import ball_prior

ROTATION = quaternion_to_rotation(torch.tensor([0.9, 0.3, -0.2, 0.1]))
TRANSLATION, SCALE = torch.tensor([0.1, -0.2, 0.05]), 1.7


@pytest.fixture
def head(tmp_path):
    path = tmp_path / "prior.npz"
    path.write_bytes(npz_bytes(**prior_arrays(ball_prior())))
    torch.manual_seed(1)
    made = PlacedHead(path, features=5)
    made.place(ROTATION, TRANSLATION, SCALE, torch.tensor([1.0, -0.5, 0.3, 0.8]))
    return made


@pytest.fixture
def points():
    return torch.rand(60, 3, generator=torch.Generator().manual_seed(2)) - 0.5


def test_distances_are_the_decoders_in_the_scenes_units(head, points):
    expected = head.decoder.field(head.code().detach())(SCALE * points @ ROTATION.T + TRANSLATION) / SCALE
    torch.testing.assert_close(head.sdf(points), expected)
    torch.testing.assert_close(head.sdf_and_gradient(points)[0], expected)
    with torch.no_grad(), head.frozen():
        torch.testing.assert_close(head.sdf(points), expected)


def test_gradients_are_those_of_the_distances_in_the_scene(head, points):
    with torch.no_grad():
        head.delta_rotation.copy_(torch.tensor([0.2, -0.1, 0.3]))
        head.delta_log_scale.fill_(0.2)
    asked = points.clone().requires_grad_()
    expected, = torch.autograd.grad(head.sdf(asked).sum(), asked)
    torch.testing.assert_close(head.gradient(points), expected, atol=1e-5, rtol=1e-4)
    assert head.sdf_and_gradient(points)[2].shape == (60, 5)


@pytest.mark.parametrize("name", ["latent", "delta_rotation", "delta_translation", "delta_log_scale"])
def test_the_code_and_the_pose_get_the_gradient_of_finite_differences(head, points, name):
    head, points = head.double(), points.double()
    parameter = getattr(head, name)
    head.sdf_and_gradient(points)[0].square().mean().backward()
    with torch.no_grad():
        for i in range(len(parameter)):
            values = []
            for step in (1e-5, -2e-5):
                parameter[i] += step
                values.append(head.sdf(points).square().mean())
            parameter[i] += 1e-5
            assert float(parameter.grad[i]) == pytest.approx(float(values[0] - values[1]) / 2e-5, rel=1e-4, abs=1e-8)


def test_a_shift_moves_the_head_in_its_own_frame(head):
    centre = (-TRANSLATION) @ ROTATION / SCALE
    torch.testing.assert_close(head.in_head(centre[None])[0], torch.zeros(1, 3), atol=1e-6, rtol=0)
    with torch.no_grad():
        head.delta_translation.copy_(torch.tensor([0.0, 0.1, 0.0]))
    torch.testing.assert_close(head.in_head(centre[None])[0], torch.tensor([[0.0, 0.1, 0.0]]), atol=1e-6, rtol=0)


def test_mixed_precision_does_not_move_the_head(head, points):
    expected = head.in_head(points)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head.in_head(points)[0], expected)


def test_a_likely_latent_is_a_likely_code(head):
    with torch.no_grad():
        head.latent.zero_()
    torch.testing.assert_close(head.code(), head.code_mean)


def test_in_a_world_of_known_units_the_head_does_not_grow(head, points):
    head.unit_millimetres = 1.0
    expected = head.sdf(points)
    with torch.no_grad():
        head.delta_log_scale.fill_(0.5)
    assert torch.equal(head.sdf(points), expected)
    scene_from_world = torch.diag(torch.tensor([0.005, 0.005, 0.005, 1.0], dtype=torch.float64))
    assert known_scale(head, scene_from_world) == pytest.approx(head.prior.scale * 0.1 / 0.005)
