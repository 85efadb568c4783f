import pytest
import torch

from deep3dmap.backbones import CodedSDFNetwork
from deep3dmap.errors import ConfigError


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = CodedSDFNetwork(code_length=6, width=32, depth=4, skip=[2], frequencies=3, features=5)
    for i in (0, 2):  # waves are unheard at the start; here they shall be heard
        torch.nn.init.normal_(made.layers[i].weight_v, 0.0, 0.3)
    return made


@pytest.fixture
def codes_and_points():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 6, generator=generator), torch.rand(3, 40, 3, generator=generator) * 2 - 1


def test_all_ways_to_a_distance_agree(network, codes_and_points):
    codes, points = codes_and_points
    together = network(codes, points)
    for code, own, expected in zip(codes, points, together):
        with network.coded(code):
            torch.testing.assert_close(network.sdf(own), expected)
            torch.testing.assert_close(network.sdf_and_gradient(own)[0], expected)
            torch.testing.assert_close(network(code[None], own[None])[0], expected)
            with torch.no_grad(), network.frozen():
                torch.testing.assert_close(network.sdf(own), expected)
        torch.testing.assert_close(network.field(code)(own), expected)


def test_a_code_is_heard_in_every_layer_that_sees_the_point(network, codes_and_points):
    codes, points = codes_and_points
    for layer in (network.code0, network.code2):
        before = network(codes, points)
        with torch.no_grad():
            layer.weight.zero_()
        assert (network(codes, points) - before).abs().max() > 1e-3
    assert torch.equal(network(codes, points), network(codes.flip(0), points))


def test_gradients_reach_code_and_weights_as_by_plain_autograd(network, codes_and_points):
    code, points = codes_and_points[0][0].requires_grad_(), codes_and_points[1][0]
    with network.coded(code):
        sdf, gradient, _ = network.sdf_and_gradient(points)
    ((gradient.norm(dim=1) - 1).square().sum() + sdf.sum()).backward()
    ours = [code.grad.clone(), network.code2.weight.grad.clone(), network.lin1.weight_v.grad.clone()]
    network.zero_grad(), setattr(code, "grad", None)
    asked = points.clone().requires_grad_()
    plain = network(code[None], asked[None])[0]
    slope, = torch.autograd.grad(plain.sum(), asked, create_graph=True)
    ((slope.norm(dim=1) - 1).square().sum() + plain.sum()).backward()
    for found, expected in zip(ours, [code.grad, network.code2.weight.grad, network.lin1.weight_v.grad]):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_field_keeps_its_parameters(network, codes_and_points):
    code, points = codes_and_points[0][0], codes_and_points[1][0]
    field = network.field(code)
    before = field(points)
    with torch.no_grad():
        network.lin1.bias.add_(1.0)
    assert torch.equal(field(points), before)


def test_no_code_and_a_code_of_another_length_are_refused(network, codes_and_points):
    with pytest.raises(RuntimeError, match="coded"):
        network.sdf(codes_and_points[1][0])
    with pytest.raises(ConfigError, match="5 entries.*6"), network.coded(torch.zeros(5)):
        pass
    with pytest.raises(ConfigError, match="7 entries.*6"):
        network(torch.zeros(3, 7), codes_and_points[1])


def test_it_starts_near_a_sphere_for_every_code(codes_and_points):
    torch.manual_seed(0)
    network = CodedSDFNetwork(code_length=6, width=256, depth=4, skip=[2], bias=0.5)
    sdf = network(0.1 * codes_and_points[0], codes_and_points[1])
    assert (sdf - (codes_and_points[1].norm(dim=-1) - 0.5)).abs().mean() < 0.1
