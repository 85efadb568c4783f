"""StyleGAN2's layers and networks against values of the reference."""

import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from deep3dmap.backbones import StyleDiscriminator, StyleGenerator
from deep3dmap.backbones.stylegan2.discriminator import deviation
from deep3dmap.backbones.stylegan2.generator import truncated
from deep3dmap.backbones.stylegan2.layers import (
    EqualConv2d,
    EqualLinear,
    ModulatedConv2d,
    NoiseInjection,
    PixelNorm,
    StyledConv,
    ToRGB,
    leaky_relu,
)
from deep3dmap.backbones.stylegan2.resampling import Filter, downsampling, upfirdn, upsampling
from deep3dmap.errors import ConfigError, DataError
from tests import weight_recipe
from tests.goldens import FOLDER, cases, files, manifest, read, tensor, tensors

CONFIG = json.loads((FOLDER / "stylegan2" / "config.json").read_text())
GAN2SHAPE_SEED = json.loads((FOLDER / "gan2shape" / "config.json").read_text())["seed"]
OPS, MODULATED, NARROW = read("stylegan2/ops"), read("stylegan2/modulated"), read("stylegan2/generator_narrow")
X = tensor(OPS["upfirdn/x"])


def close(actual, expected, rtol=1e-4, atol=1e-5):
    torch.testing.assert_close(actual, tensor(expected), rtol=rtol, atol=atol)


def close_to_largest(actual, expected):
    close(actual, expected, 0, 2e-4 * float(np.abs(expected).max()))


def pair(factor):
    return (factor, factor) if isinstance(factor, int) else tuple(factor)


@pytest.mark.parametrize("combination", CONFIG["upfirdn_combos"], ids=lambda c: str(c["i"]))
def test_resampling_and_its_gradient(combination):
    name, pad = f"upfirdn/{combination['i']}", tuple(combination["pad"])
    x = X.clone().requires_grad_()
    y = upfirdn(x, tensor(OPS[f"upfirdn/{combination['kernel']}"]), pair(combination["up"]), pair(combination["down"]),
                pad if len(pad) == 4 else pad * 2)  # yapf: disable
    close(y, OPS[f"{name}/y"])
    (y * tensor(OPS[f"{name}/cot"])).sum().backward()
    close(x.grad, OPS[f"{name}/grad_x"])


def test_filters():
    for name, module in dict(up=upsampling(), down=downsampling(), blur_up=Filter((2, 1), gain=4.0)).items():
        close(module.kernel, OPS[f"filter/{name}/kernel"])
        close(module(X), OPS[f"filter/{name}/y"])
    own = Filter((1, 1), taps=(1, 2, 1))
    close(own.kernel, OPS["filter/blur/kernel"])
    close(own(X), OPS["filter/blur/y"])


def test_activation_and_its_gradients():
    x, bias = X.clone().requires_grad_(), tensor(OPS["flrelu/b"]).requires_grad_()
    y = leaky_relu(x, bias)
    close(y, OPS["flrelu/y"])
    close(leaky_relu(X), OPS["flrelu/y_nobias"])
    (y * tensor(OPS["flrelu/cot"])).sum().backward()
    close(x.grad, OPS["flrelu/grad_x"])
    close(bias.grad, OPS["flrelu/grad_b"])


def test_normalisation_linear_layers_convolution_and_noise():
    vectors = tensor(OPS["vec/x"])
    close(PixelNorm()(vectors), OPS["vec/pixelnorm"])
    close(PixelNorm()(X), OPS["pixelnorm4d/y"])
    for name in cases("stylegan2/ops", r"equal_linear/(\w+)/y"):
        weights = tensors(OPS, f"equal_linear/{name}/")
        layer = EqualLinear(*weights["weight"].shape[::-1], rate=0.01 if "lr_mul" in name else 1.0, activate="act" in name)
        layer.load_state_dict({key: weights[key] for key in ("weight", "bias")})
        close(layer(vectors), OPS[f"equal_linear/{name}/y"])
    weight = tensor(OPS["equal_conv/weight"])
    conv = EqualConv2d(weight.shape[1], weight.shape[0], weight.shape[2], stride=2, padding=1)
    conv.load_state_dict(dict(weight=weight, bias=tensor(OPS["equal_conv/bias"])))
    close(conv(X), OPS["equal_conv/y"])
    noise = NoiseInjection()
    noise.load_state_dict(dict(weight=tensor(OPS["noise/weight"])))
    close(noise(X, tensor(OPS["noise/noise"])), OPS["noise/y"])


@pytest.mark.parametrize("name", cases("stylegan2/modulated", r"(\w+)/grad_style"))
def test_modulated_convolution_and_its_gradients(name):
    state = tensors(MODULATED, f"{name}/w/")
    _, outputs, inputs, size, _ = state["weight"].shape
    layer = ModulatedConv2d(inputs, outputs, size, MODULATED["style"].shape[1], "nodemod" not in name, "up" in name, "down"
                            in name)
    kernel = layer.state_dict().get("blur.kernel")
    layer.load_state_dict(state)
    assert kernel is None or torch.equal(kernel, layer.blur.kernel)
    x, style = (tensor(MODULATED[key]).requires_grad_() for key in ("x", "style"))
    y = layer(x, style)
    close(y, MODULATED[f"{name}/y"])
    (y * tensor(MODULATED[f"{name}/cot"])).sum().backward()
    for key, found in dict(x=x.grad, style=style.grad, weight=layer.weight.grad).items():
        close_to_largest(found, MODULATED[f"{name}/grad_{key}"])


@pytest.mark.parametrize("name", cases("stylegan2/modulated", r"(styled_\w+)/y"))
def test_styled_convolution(name):
    state = tensors(MODULATED, f"{name}/w/")
    _, outputs, inputs, *_ = state["conv.weight"].shape
    layer = StyledConv(inputs, outputs, MODULATED["style"].shape[1], up="up" in name)
    layer.load_state_dict(state)
    close(layer(tensor(MODULATED["x"]), tensor(MODULATED["style"]), tensor(MODULATED[f"{name}/noise"])),
          MODULATED[f"{name}/y"])


def test_to_rgb():
    x, style = tensor(MODULATED["to_rgb/x"]), tensor(MODULATED["style"])
    layer = ToRGB(x.shape[1], style.shape[1])
    layer.load_state_dict(tensors(MODULATED, "to_rgb/w/"))
    close(layer(x, style, tensor(MODULATED["to_rgb/skip"])), MODULATED["to_rgb/y"])
    close(layer(x, style), MODULATED["to_rgb/y_noskip"])


@pytest.fixture(scope="module")
def narrow() -> StyleGenerator:
    sizes = CONFIG["narrow"]
    network = StyleGenerator(sizes["size"], sizes["style_dim"], sizes["n_mlp"], width=sizes["channels"] / 512)
    network.load_state_dict(tensors(NARROW, "w/"))
    return network


@torch.no_grad()
def test_images_of_the_generator(narrow):
    w, w2 = (narrow.style(tensor(NARROW[key])) for key in ("z", "z2"))
    mean, fixed = tensor(NARROW["w_mean"]), narrow.registered_noise
    close(w, NARROW["w"])
    given = [tensor(NARROW[f"noise_list/{k}"]) for k in range(narrow.layers - 1)]
    half = [truncated(each, mean, 0.5) for each in (w, w2)]
    images = {
        "buffer_noise": narrow(narrow.w_plus(w), fixed),
        "given_noise": narrow(narrow.w_plus(w), given),
        "trunc0.7": narrow(narrow.w_plus(truncated(w, mean, 0.7)), fixed),
        "mix3": narrow(narrow.w_plus(w, w2, 3), fixed),
        "mix3_trunc0.5": narrow(narrow.w_plus(*half, 3), fixed),
        "input_is_latent_w": narrow(narrow.w_plus(tensor(NARROW["w"])), fixed),
        "input_is_latent_wplus": narrow(tensor(NARROW["w_plus"]), fixed),
    }
    assert set(images) == {*cases("stylegan2/generator_narrow", r"img/(.*)")} - {"latents"}
    close(narrow.w_plus(w), NARROW["img/latents"])
    for name, image in images.items():
        close(image, NARROW[f"img/{name}"])


def test_gradients_of_the_generator(narrow):
    w = tensor(NARROW["w"]).requires_grad_()
    (narrow(narrow.w_plus(w), narrow.registered_noise) * tensor(NARROW["grad/cot"])).sum().backward()
    close_to_largest(w.grad, NARROW["grad/w"])
    for name in cases("stylegan2/generator_narrow", r"grad/(.*weight)"):
        close_to_largest(narrow.get_parameter(name).grad, NARROW[f"grad/{name}"])
    narrow.zero_grad()


def images_of(golden, key):
    return tensor(golden[key]).float() / 127.5 - 1


@pytest.fixture(scope="module")
def critic() -> StyleDiscriminator:
    network = StyleDiscriminator(CONFIG["narrow"]["size"], width=CONFIG["narrow"]["channels"] / 512)
    network.load_state_dict(tensors(read("stylegan2/discriminator_narrow"), "w/"))
    return network


@torch.no_grad()
@pytest.mark.parametrize("batch", cases("stylegan2/discriminator_narrow", r"(b\d+)/x"))
def test_logits_deviations_and_features_of_the_discriminator(critic, batch):
    golden = read("stylegan2/discriminator_narrow")
    x = images_of(golden, f"{batch}/x")
    close(critic(x), golden[f"{batch}/logits"])
    close(deviation(critic.convs(x)), golden[f"{batch}/stddev_channel"])
    for block in [key for key in golden.files if key.startswith(f"{batch}/block")]:
        ours = critic.convs[:int(block.rpartition("block")[2]) + 1](x)
        step = ours.shape[-1] // golden[block].shape[-1]
        close(ours[..., ::step, ::step], golden[block])
    for level, features in enumerate(critic.features(x, 2)):
        torch.testing.assert_close(features, critic.convs[:level + 2](x))


def test_the_mean_style_is_that_of_many_random_vectors(narrow):
    z = torch.randn(20_000, narrow.style_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        w = narrow.style(z)
    far = (narrow.mean_style(20_000)[0] - w.mean(0)).abs() / w.std(0)
    assert far.max() < 0.06  # six standard errors of the difference of two means
    assert torch.equal(narrow.mean_style(8, seed=3), narrow.mean_style(8, seed=3))


@torch.no_grad()
def test_features_of_gan2shapes_discriminator():
    golden, width = read("gan2shape/d_features"), read("gan2shape/d_features")["full/last"].shape[1]
    critic = StyleDiscriminator(golden["x_u8"].shape[-1], width=width / 512)
    shapes = {name: tuple(value.shape) for name, value in critic.state_dict().items()}
    critic.load_state_dict(weight_recipe.state("stylegan2", GAN2SHAPE_SEED, "steps.D.", shapes), strict=False)
    x, levels = images_of(golden, "x_u8"), int(golden["n_features_4"][0])
    close(critic(x), golden["logits"])
    for k, features in enumerate(critic.features(x, levels)):
        close(features, golden[f"f4/{k}"])
    assert k + 1 == levels == int(golden["n_features_full"][0]) - 1  # the reference counts the last convolution's, too
    close(critic.final_conv(torch.cat([features, deviation(features)], 1)), golden["full/last"])


@torch.no_grad()
@pytest.mark.parametrize("size", files("stylegan2/full_*"))
def test_published_sizes(size):
    golden, (side, multiplier) = read(f"stylegan2/full_{size}"), map(int, size.split("_cm"))
    shapes, options = manifest("stylegan2")["models"], dict(size=side, multiplier=multiplier)
    networks = {}
    for kind, cls in dict(generator=StyleGenerator, discriminator=StyleDiscriminator).items():
        network = networks[kind] = cls(**options)
        names = shapes[f"{kind}_{size}"]
        assert {name: list(value.shape) for name, value in network.state_dict().items()} == names
        state = weight_recipe.state("stylegan2", CONFIG["seed"], f"{kind[0]}{side}.", names)
        assert not network.load_state_dict(state, strict=False).unexpected_keys
    generator, critic = networks.values()
    w = generator.style(tensor(golden["z"]))
    close(w, golden["w"])
    image = generator(generator.w_plus(w), generator.registered_noise)
    step = side // golden["image"].shape[-1]
    close_to_largest(image[..., ::step, ::step], golden["image"])
    close(critic(image / image.abs().max()), golden["d_logits_on_image"], 2e-4, 2e-4)
    large = functional.interpolate(tensor(golden["d_input_small"]), scale_factor=8, mode="bilinear", align_corners=False)
    close(critic(large), golden["d_logits"], 2e-4, 2e-4)


def test_what_no_network_can_be_is_refused():
    with pytest.raises(ConfigError, match="size=48"):
        StyleGenerator(48)
    with pytest.raises(DataError, match="6"):
        deviation(torch.zeros(6, 2, 4, 4))
