"""GAN2Shape's networks against values of the reference."""

import json

import pytest
import torch

from deep3dmap.backbones import ImageAutoencoder, ImageEncoder, ResidualEncoder
from deep3dmap.errors import ConfigError
from tests import weight_recipe
from tests.goldens import FOLDER, files, manifest, pictures, read, tensor, tensors

CONFIG = json.loads((FOLDER / "gan2shape" / "config.json").read_text())


def close(actual, expected):
    torch.testing.assert_close(actual, tensor(expected), rtol=1e-4, atol=1e-5)


def gradient_close(actual, expected):
    torch.testing.assert_close(actual, tensor(expected), rtol=0, atol=5e-4 * abs(expected).max())


def network_of(name):
    """The network that a section of the fixtures' config describes."""
    sizes = CONFIG["nets"][name]
    options = dict(outputs=int(sizes["cout"]), size=int(sizes["size"]), width=int(sizes["nf"]))
    if "zdim" not in sizes:
        return (ResidualEncoder if name.startswith("res") else ImageEncoder)(**options)
    return ImageAutoencoder(code=int(sizes["zdim"]), group=int(sizes["nf"]) // int(sizes["gn_base"]),
                            tanh=sizes.get("activation") != "None", **options)  # yapf: disable


@pytest.mark.parametrize("name", files("gan2shape/net_*"))
def test_outputs_and_gradients(name):
    golden, network = read(f"gan2shape/net_{name}"), network_of(name)
    network.load_state_dict(tensors(golden, "w/"))
    x = pictures(golden["x_u8"]).requires_grad_()
    y = network(x)
    close(y, golden["y"])
    (y * tensor(golden["cot"])).sum().backward()
    if "grad_x" in golden.files:
        gradient_close(x.grad, golden["grad_x"])
    else:
        gradient_close(torch.nn.functional.avg_pool2d(x.grad, 4) * 16, golden["grad_x_sum4x4"])
    for each in [key.removeprefix("grad/") for key in golden.files if key.startswith("grad/")]:
        gradient_close(network.get_parameter(each).grad, golden[f"grad/{each}"])


@torch.no_grad()
@pytest.mark.parametrize("name", files("gan2shape/full_*"))
def test_published_sizes(name):
    golden = read(f"gan2shape/full_{name}")
    size, published = golden["x_u8"].shape[-1], manifest("gan2shape")["configs"][name]["networks"]
    width = published["netD"]["network.0.weight"][0]
    networks = dict(netD=ImageAutoencoder(1, size, width, tanh=False), netA=ImageAutoencoder(3, size, width),
                    netV=ImageEncoder(6, size, width), netL=ImageEncoder(4, size, width),
                    netEnc=ResidualEncoder(512, size))  # yapf: disable
    assert set(published) == set(networks)
    for key, network in networks.items():
        assert {each: list(value.shape) for each, value in network.state_dict().items()} == published[key]
        network.load_state_dict(weight_recipe.state("gan2shape", CONFIG["seed"], f"{key}.", published[key]))
        close(network(pictures(golden["x_u8"])), golden[key])


def test_sizes_and_groups_that_no_network_can_have_are_refused():
    with pytest.raises(ConfigError, match="size=48"):
        ImageEncoder(6, 48)
    with pytest.raises(ConfigError, match="width=6, group=4"):
        ImageAutoencoder(1, 64, 6)
