"""PRNet's network against outputs of the authors' TensorFlow graph and of the PyTorch port."""

import zlib
from collections.abc import Mapping
from math import prod

import numpy as np
import pytest
import torch
from torch import nn

from deep3dmap.backbones import ResFCN
from deep3dmap.backbones.resfcn import ResBlock
from deep3dmap.errors import ConfigError
from deep3dmap.frameworks.prnet.published import from_port, from_tensorflow
from tests.goldens import manifest, read, tensor, tensors

TENSORFLOW, PORT = read("prnet/resfcn256_tf"), read("prnet/resfcn256_port")
VARIABLES, SEED = (manifest("prnet")[key] for key in ("tf_checkpoint_model_variables", "seed"))

# --- the fixtures' weights ------------------------------------------------------------------------------------------------


def recipe(name: str, shape: tuple[int, ...], fan_in: int) -> torch.Tensor:
    """The fixtures' random values of a weight, by the kind of weight that its name says."""
    draw = np.random.RandomState((zlib.crc32(name.encode()) + SEED) % 2**32).randn(*shape)
    kind = name.replace("/", ".").rpartition(".")[2]
    values = 1 + 0.2 * abs(draw) if kind in ("moving_variance", "running_var") else \
        0.1 * draw if kind in ("moving_mean", "beta", "running_mean", "bias") else \
        1 + 0.1 * draw if len(shape) == 1 else draw * (2 / fan_in)**0.5  # yapf: disable
    return torch.from_numpy(values.astype(np.float32))


def load(network: ResFCN, state: Mapping[str, torch.Tensor]) -> ResFCN:
    """The network in evaluation mode with these weights, all of which it must need."""
    counters = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(counters | dict(state))
    return network.eval()


def official(resolution: int) -> ResFCN:
    state = {name: recipe(name, shape, prod(shape[:-1])) for name, shape in VARIABLES.items()}
    return load(ResFCN(VARIABLES["resfcn256/Conv/weights"][-1], resolution, "official"), from_tensorflow(state))


def port(resolution: int) -> ResFCN:
    shapes = manifest("prnet")["meta"]["port_state_dict"]
    network, state = ResFCN(shapes["block0.weight"][0], resolution, "port"), {}
    for name, shape in shapes.items():
        if shape:  # the counters of batches are left as they are
            value = recipe(f"port.{name}", shape, prod(shape[1:]))
            state[name] = value * 0.75 if len(shape) > 1 else value
    return load(network, needed(network, from_port(state)))


def needed(network: ResFCN, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state without shortcuts that are the identity at the network's resolution."""
    surplus = set(state) - set(network.state_dict())
    assert all("shortcut" in name for name in surplus)
    return {name: value for name, value in state.items() if name not in surplus}


def enlarged(images: torch.Tensor, resolution: int) -> torch.Tensor:
    """Pictures (n, h, w, 3) as (n, 3, r, r), every pixel repeated."""
    factor = resolution // images.shape[1]
    return images.permute(0, 3, 1, 2).float().repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def assert_whole_map(actual: torch.Tensor, golden: Mapping[str, np.ndarray], axes: tuple[int, ...]) -> None:
    """A map (3, s, s) equals the fixture's pixels at regular distances and its rows at both ends and in the middle."""
    sub, rows = (tensor(golden[f"out256_{part}"]).permute(axes) for part in ("sub", "rows"))
    step, size = actual.shape[1] // sub.shape[1], actual.shape[1]
    torch.testing.assert_close(actual[:, ::step, ::step], sub, atol=1e-4, rtol=0)
    torch.testing.assert_close(actual[:, [0, 1, size // 2 - 1, size - 2, size - 1]], rows, atol=1e-4, rtol=0)


class Watch:
    """What follows a network's ReLUs, those at the ends of blocks included, in order: (n, h, w, c)."""

    def __init__(self, network: ResFCN):
        self.values = []
        for module in network.modules():
            if isinstance(module, nn.ReLU | ResBlock):
                module.register_forward_hook(lambda module, inputs, out: self.values.append(out.permute(0, 2, 3, 1).clone()))


# --- the authors' graph ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_official_network_maps_a_picture_as_the_authors():
    network = official(TENSORFLOW["out256_rows"].shape[1])
    seen, image = Watch(network), enlarged(tensor(TENSORFLOW["img"]), network.resolution) / 255
    assert_whole_map(network(image)[0], TENSORFLOW, (2, 0, 1))
    means, deviations = zip(*[(float(v.double().mean()), float(v.double().std(correction=0))) for v in seen.values])
    np.testing.assert_allclose(means, TENSORFLOW["relu_mean256"], atol=1e-4)
    np.testing.assert_allclose(deviations, TENSORFLOW["relu_std256"], atol=1e-4)


@torch.no_grad()
def test_the_official_network_maps_small_pictures_as_the_authors():
    small = tensor(TENSORFLOW["small"]).permute(0, 3, 1, 2)
    network = official(small.shape[2])
    seen = Watch(network)
    torch.testing.assert_close(network(small).permute(0, 2, 3, 1), tensor(TENSORFLOW["out_small"]), atol=1e-4, rtol=0)
    encoded = 1 + 3 * len(network.encoder[1:])
    assert len(seen.values) == len(TENSORFLOW["relu_names"])
    for k, name, step in ((0, "first", 2), (encoded - 1, "enc", 1), (-1, "last", 1)):
        expected = tensor(TENSORFLOW["relu_first" if name == "first" else f"relu_{name}_small"])
        torch.testing.assert_close(seen.values[k][:, ::step, ::step], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_official_network_in_training_normalizes_by_the_batch_as_the_authors():
    """The innermost layers normalise two values each, which magnifies rounding until a tenth of the output differs; other
    epsilons or divisors, or stored statistics, give correlations below a half."""
    small = tensor(TENSORFLOW["small"]).permute(0, 3, 1, 2).double()
    ours = official(small.shape[2]).double().train()(small).permute(0, 2, 3, 1)
    assert np.corrcoef(ours.flatten(), TENSORFLOW["out_small_train"].ravel())[0, 1] > 0.8


# --- the PyTorch port -----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_port_maps_a_picture_as_the_reference():
    network = port(PORT["out256_rows"].shape[2])
    image = enlarged(tensor(PORT["img"]), network.resolution)
    assert_whole_map(network(image.flip(1) / 255)[0], PORT, (0, 1, 2))


@torch.no_grad()
def test_the_port_at_another_resolution_has_its_identity_shortcuts_elsewhere():
    image = tensor(PORT["img"])
    network, x = port(image.shape[1]), enlarged(image, image.shape[1]).flip(1) / 255
    torch.testing.assert_close(network(x), tensor(PORT["out64"]), atol=1e-4, rtol=0)
    x = (x - network.mean) / network.deviation
    for k, block in enumerate(network.encoder):
        x = block(x)
        if f"block{k}_64" in PORT.files:
            expected = tensor(PORT[f"block{k}_64"])
            torch.testing.assert_close(x[0, :len(expected)], expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def tiny_port() -> ResFCN:
    """The port's small network with the fixture's explicit weights."""
    weights = tensors(read("prnet/resfcn256_port_size2_weights"), "w.")
    network = ResFCN(len(weights["block0.weight"]), PORT["x_small"].shape[-1], "port")
    return load(network, needed(network, from_port(weights)))


def small_pictures(network: ResFCN) -> torch.Tensor:
    """The fixture's normalised pictures, not normalised."""
    return tensor(PORT["x_small"]).flip(1) * network.deviation + network.mean


@torch.no_grad()
def test_a_tiny_port_gives_the_outputs_of_the_reference(tiny_port):
    out = tiny_port(small_pictures(tiny_port))
    torch.testing.assert_close(out, tensor(PORT["out_small"]), atol=1e-4, rtol=0)


def test_the_port_trains_as_the_reference(tiny_port):
    x, truth, mask = small_pictures(tiny_port), tensor(PORT["gt_small"]), tensor(PORT["mask_small"])
    optimizer = torch.optim.Adam(tiny_port.train().parameters(), lr=1e-4, betas=(0.5, 0.999))
    for step, expected in enumerate(PORT["train_losses"]):
        loss = ((tiny_port(x) - truth).square().mean(1) * mask).sum() / mask.numel()
        assert float(loss.detach()) == pytest.approx(expected, abs=1e-4)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            assert_gradient_norms(tiny_port)
        optimizer.step()
    last = tiny_port.decoder[-1].conv
    torch.testing.assert_close(last.bias.detach(), tensor(PORT["final_bias_after2"]), atol=1e-4, rtol=0)
    expected = from_port({"upsample16.weight": tensor(PORT["final_weight_after2"])})["decoder.16.conv.weight"]
    torch.testing.assert_close(last.weight.detach(), expected, atol=1e-4, rtol=0)


def assert_gradient_norms(network: ResFCN) -> None:
    """All parameters have gradients of the fixture's norms, and no others.

    Before the innermost norm they are differences of nearly equal numbers: float32 and float64 differ by 0.1 %.
    """
    norms = {}
    for name, norm in zip(PORT["grad_norm_names"], PORT["grad_norms"]):
        ours, = from_port({str(name): torch.empty(1, 1, 1, 1)})
        norms[ours] = norm
    parameters = dict(network.named_parameters())
    assert set(parameters) == set(norms)
    for name, norm in norms.items():
        assert float(parameters[name].grad.norm()) == pytest.approx(norm, rel=0.02, abs=1e-5), name


# --- variants and inference -----------------------------------------------------------------------------------------------

VARIANTS = ("official", "compact", "port")


def pictures(count: int, resolution: int = 64) -> torch.Tensor:
    """Random smooth pictures; noise would look alike to the innermost layers, which would magnify its differences."""
    return nn.functional.interpolate(torch.rand(count, 3, 4, 4), size=resolution, mode="bilinear")


def trained(variant: str, resolution: int = 64, size: int = 4) -> ResFCN:
    """A network whose norms' statistics and weights are not those of a new one."""
    torch.manual_seed(0)
    network = ResFCN(size, resolution, variant)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.2)
            nn.init.uniform_(module.weight, 0.8, 1.2)
    with torch.no_grad():
        for _ in range(10):
            network(pictures(8, resolution))
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_fused_network_gives_the_same_maps(variant):
    network, images = trained(variant), pictures(2)
    fused = network.fused()
    convolutions = [m for m in fused.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    norms = [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) < len(convolutions) / 4
    maps = network(images)
    assert maps.std() > 0.01
    torch.testing.assert_close(fused(images), maps, atol=1e-4, rtol=0)


@torch.no_grad()
def test_half_precision_stays_near_and_gives_single_precision():
    network, images = trained("official"), pictures(2)
    half = network.fused(torch.bfloat16)(images)
    assert half.dtype == torch.float32
    assert 0 < (half - network(images)).abs().mean() < 0.003


def test_fusing_leaves_the_network_as_it_is():
    network = trained("compact")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train().fused()
    assert network.training and all(p.requires_grad for p in network.parameters())
    torch.testing.assert_close(dict(network.state_dict()), before, atol=0, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_new_network_answers_the_picture_everywhere_and_learns(variant):
    torch.manual_seed(0)
    network = ResFCN(2, 32, variant)
    images = torch.rand(4, 3, 32, 32)
    maps = network(images)
    assert maps.shape == images.shape and 0.05 < maps.mean() < 0.95
    (maps - 0.2).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert network.encoder[0].conv.weight.grad.any()


def test_a_small_compact_network_has_at_most_2_4_million_weights():
    assert sum(p.numel() for p in ResFCN(8, 128, "compact").parameters()) < 2.4e6


def test_a_resolution_that_does_not_halve_five_times_is_named():
    with pytest.raises(ConfigError, match="resolution=100"):
        ResFCN(resolution=100)
