"""The point-voxel U-Net against the published code."""

from collections.abc import Mapping

import pytest
import torch

from deep3dmap.backbones import SPVCNN, ConvGRU, SparseUNet
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES
from tests.backbones.sparse.grids import rows_of
from tests.goldens import manifest, read, tensor, tensors

GOLDEN = read("neuralrecon/spvcnn")
POINTS, FEATURES, RESOLUTION = tensor(GOLDEN["points"]), tensor(GOLDEN["feats"]), float(GOLDEN["vres"])
PUBLISHED = manifest("neuralrecon")["meta"]["state_dict"]


def published(prefix: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the published parameters and buffers below a prefix."""
    return {name.removeprefix(prefix): tuple(shape) for name, shape in PUBLISHED.items() if name.startswith(prefix)}


def shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.fixture
def network() -> SPVCNN:
    """The fixture's."""
    state = tensors(read("neuralrecon/spvcnn_weights"), "")
    widths = [
        len(state[f"{layer}.bias"]) for layer in ("stem.1", "stage1.2.net.4", "stage2.2.net.4", "up1.0.net.1", "up2.0.net.1")
    ]
    net = SPVCNN(state["stem.0.kernel"].shape[1], widths)
    counters = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    net.load_state_dict(counters | state)
    return net


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_output_is_the_published_codes(network, mode):
    network.train(mode == "train")
    torch.testing.assert_close(network(POINTS, FEATURES, RESOLUTION), tensor(GOLDEN[f"out_{mode}"]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("stage", ["stem", "stage1", "stage2", "up1", "up2"])
def test_so_is_each_stages(network, stage):
    seen = []
    module = getattr(network, stage)
    (module[1] if stage.startswith("up") else module).register_forward_hook(lambda *call: seen.append(call[2]))
    network.eval()(POINTS, FEATURES, RESOLUTION)
    coords = "stem" if stage == "up2" else stage
    ours = seen[0].features[rows_of(tensor(GOLDEN[f"{coords}_C"]), seen[0].coords)]
    torch.testing.assert_close(ours, tensor(GOLDEN[f"{stage}_F"]), atol=1e-4, rtol=1e-4)


def test_scenes_of_a_batch_do_not_influence_each_other_in_evaluation(network):
    together = network.eval()(POINTS, FEATURES, RESOLUTION)
    for scene in POINTS[:, 3].unique():
        mine = POINTS[:, 3] == scene
        torch.testing.assert_close(network(POINTS[mine], FEATURES[mine], RESOLUTION), together[mine], atol=1e-4, rtol=1e-4)


def test_the_order_of_points_does_not_matter(network):
    order = torch.randperm(len(POINTS))
    shuffled = network.eval()(POINTS[order], FEATURES[order], RESOLUTION)
    torch.testing.assert_close(shuffled, network(POINTS, FEATURES, RESOLUTION)[order], atol=1e-4, rtol=1e-4)


def test_every_parameter_and_the_features_get_a_gradient(network):
    features = FEATURES.clone().requires_grad_()
    network(POINTS, features, RESOLUTION).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in [features, *network.parameters()])


def test_mixed_precision_is_close_to_float32(network):
    expected = network.eval()(POINTS, FEATURES, RESOLUTION)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(POINTS, FEATURES, RESOLUTION)
    assert (mixed - expected).norm() < 0.05 * expected.norm()


def test_the_parameters_have_the_published_names_and_shapes():
    assert shapes(SparseUNet().state_dict()) == published("neucon_net.sp_convs.")
    units = torch.nn.ModuleList(ConvGRU(channels, channels) for channels in (96, 48, 24))
    assert shapes(units.state_dict()) == published("neucon_net.gru_fusion.fusion_nets.")


def test_a_config_names_the_channels_of_each_level():
    levels = BACKBONES.build(dict(type="SparseUNet", channels=(24, 20, 16)))
    assert [level.up2[1][1].net[3].kernel.shape[2] for level in levels] == [24, 20, 16]


@pytest.mark.parametrize("channels", [(24, 20), (24, 20, 2)])
def test_levels_without_images_or_channels_are_refused(channels):
    with pytest.raises(ConfigError, match="SparseUNet: channels="):
        SparseUNet(channels)
