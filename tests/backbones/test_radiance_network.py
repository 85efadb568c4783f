import pytest
import torch

from deep3dmap.backbones import RadianceNetwork
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.idr.published import radiance_config
from tests.goldens import cases, manifest, tensor, tensors, text

MANIFEST = manifest("idr")

PUBLISHED = {
    "dtu_fixed_cameras": {},
    "dtu_trained_cameras": {},
    "ablation/dtu_no_feature_vector": dict(features=0),
    "ablation/dtu_no_normal": dict(mode="no_normal"),
    "ablation/dtu_no_view_dir": dict(mode="no_view_dir")
}


def inputs(n, features):
    return torch.randn(n, 3), torch.randn(n, 3), torch.randn(n, 3), torch.randn(n, features)


@pytest.mark.parametrize("mode", cases("idr/rendering_network", r"(.+)/config"))
def test_colours_match_the_references(goldens, mode):
    golden = goldens("idr/rendering_network")
    config = text(golden, f"{mode}/config")
    network = RadianceNetwork(**radiance_config(config | dict(rendering_network=config)))
    network.load_state_dict(tensors(golden, f"{mode}/state/"))
    rgb = network(*(tensor(golden[k]) for k in ("points", "normals", "view_dirs", "features")))
    torch.testing.assert_close(rgb, tensor(golden[f"{mode}/rgb"]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", sorted(MANIFEST["configs"]))
def test_every_published_configuration_has_its_shapes(name):
    state = {k: list(v.shape) for k, v in RadianceNetwork(**PUBLISHED[name]).state_dict().items()}
    prefix = "rendering_network."
    published = {k[len(prefix):]: v for k, v in MANIFEST["configs"][name]["model_state_dict"].items() if k.startswith(prefix)}
    assert list(state.items()) == list(published.items())


def test_it_works_without_features():
    assert RadianceNetwork(width=16, depth=1, features=0)(*inputs(5, 0)).shape == (5, 3)


def test_a_lamp_on_the_camera_adds_three_inputs_at_the_end():
    torch.manual_seed(0)
    plain = RadianceNetwork(width=16, depth=1, features=4, weight_norm=False)
    lit = RadianceNetwork(width=16, depth=1, features=4, weight_norm=False, camera_light=True)
    with torch.no_grad():
        lit.lin0.weight.zero_()[:, :-3].copy_(plain.lin0.weight)
        lit.lin0.bias.copy_(plain.lin0.bias)
    lit.lin1.load_state_dict(plain.lin1.state_dict())
    x = inputs(5, 4)
    torch.testing.assert_close(lit(*x, camera_normals=torch.randn(5, 3)), plain(*x))
    with torch.no_grad():
        lit.lin0.weight[:, -3:] = 1.0
    assert not torch.allclose(lit(*x, camera_normals=torch.ones(5, 3)), plain(*x))


def test_missing_camera_normals_and_unknown_modes_are_named():
    with pytest.raises(ValueError, match="camera_normals"):
        RadianceNetwork(width=16, depth=1, features=4, camera_light=True)(*inputs(5, 4))
    with pytest.raises(ConfigError, match="mode='nerf'.*no_view_dir"):
        RadianceNetwork(mode="nerf")


def test_hidden_layers_may_have_widths_of_their_own():
    network = RadianceNetwork(width=[16, 24], depth=2, features=4)
    assert [tuple(getattr(network, f"lin{i}").weight.shape) for i in range(3)] == [(16, 37), (24, 16), (3, 24)]
    assert network(*inputs(5, 4)).shape == (5, 3)
    with pytest.raises(ConfigError, match="RadianceNetwork: width="):
        RadianceNetwork(width=[16, 24], depth=3)
