import pytest
import torch

from deep3dmap.backbones import SDFNetwork
from deep3dmap.backbones.encoding import fourier_encoding
from deep3dmap.errors import ConfigError
from tests.goldens import assert_near, cases, manifest, tensors, text

MANIFEST = manifest("idr")


def assert_gradients(network, expected):
    for name, parameter in network.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert_near(gradient, expected[name], 1e-4, name)


def autograd_sdf_and_gradient(network, points):
    """The plain twin of ``sdf_and_gradient``."""
    points = points.requires_grad_() if points.is_leaf else points
    out = network(points)
    gradient, = torch.autograd.grad(out[:, 0].sum(), points, create_graph=True)
    return out[:, 0], gradient, out[:, 1:]


def eikonal(gradient):
    return ((gradient.norm(dim=1) - 1)**2).mean()


def test_values_match_the_references(golden_network):
    golden, network = golden_network
    points, expected = torch.from_numpy(golden["points"]), torch.from_numpy(golden["out"])
    torch.testing.assert_close(network(points), expected, atol=1e-5, rtol=0)
    sdf, gradient, features = network.sdf_and_gradient(points)
    torch.testing.assert_close(sdf, expected[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(features, expected[:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(gradient, torch.from_numpy(golden["gradient"]), atol=1e-5, rtol=1e-5)


def test_parameter_gradients_of_the_values_match_the_references(golden_network):
    golden, network = golden_network
    (network(torch.from_numpy(golden["points"])) * torch.from_numpy(golden["cotangent"])).sum().backward()
    assert_gradients(network, tensors(golden, "grad/"))


def test_parameter_gradients_through_the_combined_pass_match_the_references(golden_network):
    golden, network = golden_network
    sdf, _, features = network.sdf_and_gradient(torch.from_numpy(golden["points"]))
    (torch.cat([sdf[:, None], features], 1) * torch.from_numpy(golden["cotangent"])).sum().backward()
    assert_gradients(network, tensors(golden, "grad/"))


def test_the_eikonal_loss_trains_as_the_references_does(golden_network):
    golden, network = golden_network
    loss = eikonal(network.gradient(torch.from_numpy(golden["points"])))
    loss.backward()
    torch.testing.assert_close(loss, torch.from_numpy(golden["eikonal"]), atol=1e-5, rtol=0)
    assert_gradients(network, tensors(golden, "grad_eikonal/"))


@pytest.mark.parametrize("variant", cases("idr/implicit_network_variants", r"(.+)/config"))
def test_variants_of_the_network_match_the_references(goldens, sdf_network, variant):
    golden = goldens("idr/implicit_network_variants")
    network = sdf_network(text(golden, f"{variant}/config"), tensors(golden, f"{variant}/state/"))
    points, expected = torch.from_numpy(golden[f"{variant}/points"]), torch.from_numpy(golden[f"{variant}/out"])
    torch.testing.assert_close(network(points), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(network.gradient(points), torch.from_numpy(golden[f"{variant}/gradient"]), atol=1e-5, rtol=1e-5)
    with torch.no_grad(), network.frozen():
        torch.testing.assert_close(network.sdf(points), expected[:, 0], atol=1e-5, rtol=0)


def test_the_same_seed_draws_the_references_geometric_initialisation(goldens, sdf_network):
    golden = goldens("idr/geometric_init")
    config = text(golden)
    torch.manual_seed(int(golden["seed"]))
    network = sdf_network(config["implicit_network"] | {"feature_vector_size": config["feature_vector_size"]})
    for name, expected in tensors(golden, "init_state/implicit_network.").items():
        torch.testing.assert_close(network.state_dict()[name], expected, atol=1e-6, rtol=0)  # processors round draws and norms
    sdf = network.sdf(torch.from_numpy(golden["points"]))
    torch.testing.assert_close(sdf, torch.from_numpy(golden["sdf"]), atol=1e-5, rtol=0)


def test_a_wide_network_starts_near_the_sphere_of_its_bias():
    torch.manual_seed(0)
    network = SDFNetwork(width=512, depth=4, skip=(2, ), bias=0.6, features=0)
    directions = torch.nn.functional.normalize(torch.randn(256, 3), dim=1)
    with torch.no_grad():
        outside, inside = network.sdf(directions), network.sdf(0.2 * directions)
    assert outside.mean() == pytest.approx(0.4, abs=0.15)
    assert inside.max() < 0 < outside.min()


def test_the_gradient_is_a_finite_difference():
    torch.manual_seed(1)
    network = SDFNetwork(width=48, depth=3, skip=(2, ), frequencies=3, features=2).double()
    points, step = torch.rand(10, 3).double() - 0.5, 1e-6
    shifted = [(network.sdf(points + step * axis) - network.sdf(points - step * axis)) / (2 * step) for axis in torch.eye(3)]
    torch.testing.assert_close(network.gradient(points), torch.stack(shifted, 1), atol=1e-6, rtol=1e-5)


def test_the_written_out_gradient_trains_as_autograds_twin_does():
    torch.manual_seed(2)
    network = SDFNetwork(width=64, depth=4, skip=(1, 3), frequencies=4, features=8).double()
    points, weight = torch.rand(50, 3).double() - 0.5, torch.randn(50, 12).double()
    results = []
    for function in (SDFNetwork.sdf_and_gradient, autograd_sdf_and_gradient):
        network.zero_grad()
        x = points.clone().requires_grad_()
        sdf, gradient, features = function(network, x)
        loss = eikonal(gradient) + (torch.cat([sdf[:, None], gradient, features], 1) * weight).sum()
        loss.backward()
        results.append([sdf, gradient, features, x.grad] + [p.grad.clone() for p in network.parameters()])
    for ours, twins in zip(*results):
        # torch's softplus is linear from BETA z = 20 on, ours everywhere exact: 2e-9 apart
        assert (ours - twins).norm() < 1e-6 * twins.norm()


def test_the_combined_pass_is_itself_differentiable_twice():
    torch.manual_seed(2)
    network = SDFNetwork(width=32, depth=2, skip=(), frequencies=1, features=1).double()
    x = (torch.rand(2, 3).double() - 0.5).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda p: network.sdf_and_gradient(p)[0], x)


@pytest.mark.parametrize("weight_norm", [True, False])
def test_sdf_alone_is_the_first_channel_with_and_without_gradient(weight_norm):
    torch.manual_seed(0)
    network = SDFNetwork(width=64, depth=3, skip=(1, 3), features=4, weight_norm=weight_norm)
    points = torch.rand(100, 3) * 2 - 1
    expected = network(points)[:, 0]
    torch.testing.assert_close(network.sdf(points), expected, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(network.sdf(points), expected, atol=1e-6, rtol=1e-5)
        with network.frozen():
            torch.testing.assert_close(network.sdf(points), expected, atol=1e-6, rtol=1e-5)


def test_frozen_networks_still_train_and_follow_the_parameters_after_the_context():
    network, points = SDFNetwork(width=64, depth=2, skip=(), features=0), torch.rand(5, 3)
    with torch.no_grad(), network.frozen():
        before = network.sdf(points)
    with torch.no_grad():
        network.lin2.bias += 1
        torch.testing.assert_close(network.sdf(points), before + 1)
        with network.frozen():
            torch.testing.assert_close(network.sdf(points), before + 1)
    network = SDFNetwork(width=64, depth=2, skip=(), features=0)
    with network.frozen():
        network.sdf(torch.rand(5, 3)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_mixed_precision_trains():
    torch.manual_seed(0)
    network, points = SDFNetwork(width=64, depth=3, skip=(2, ), features=4), torch.rand(50, 3) - 0.5
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network.gradient(points)
        eikonal(mixed.float()).backward()
    assert (mixed - network.gradient(points)).norm() < 0.1 * mixed.norm()
    assert network.lin1.weight_v.grad.any()


@pytest.mark.parametrize("name", sorted(MANIFEST["configs"]))
def test_every_published_configuration_has_its_shapes(name):
    features = 0 if name.endswith("no_feature_vector") else 256
    state = {k: list(v.shape) for k, v in SDFNetwork(features=features).state_dict().items()}
    prefix = "implicit_network."
    published = {k[len(prefix):]: v for k, v in MANIFEST["configs"][name]["model_state_dict"].items() if k.startswith(prefix)}
    assert list(state.items()) == list(published.items())


@pytest.mark.parametrize("call, message", [
    (lambda: SDFNetwork(width=64, depth=3, skip=(9, )), r"skip=\[9\].*depth=3"),
    (lambda: SDFNetwork(width=32, depth=3, skip=(2, )), "width=32"),
    (lambda: SDFNetwork(width=[64, 64], depth=3, skip=()), r"SDFNetwork: width=\[64, 64\].*depth=3"),
])  # yapf: disable
def test_skips_and_widths_that_do_not_fit_the_layers_are_refused(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize("skip", [[], [1], [2, 3]])
def test_hidden_layers_may_have_widths_of_their_own(skip):
    torch.manual_seed(0)
    network, points = SDFNetwork(width=[24, 32, 20], depth=3, skip=skip, frequencies=1, features=2), torch.rand(20, 3) - 0.5
    x = encoded = fourier_encoding(points, 1)
    for i, layer in enumerate(network.layers):  # the authors' network, written out
        x = layer(torch.cat([x, encoded], 1) / 2**0.5 if i in skip else x)
        x = torch.nn.functional.softplus(x, 100) if i < 3 else x
    assert [layer.weight.shape[1] for layer in network.layers] == [9, 24, 32, 20]
    torch.testing.assert_close(network(points), x)
    torch.testing.assert_close(network.sdf_and_gradient(points)[0], x[:, 0])
    with torch.no_grad(), network.frozen():
        torch.testing.assert_close(network.sdf(points), x[:, 0])
