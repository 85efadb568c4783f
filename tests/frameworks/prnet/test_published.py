"""Published weights: a checkpoint that TensorFlow wrote, with its map of a picture, and states of the PyTorch port."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.apis import load_framework
from deep3dmap.apis.convert import convert_checkpoint
from deep3dmap.backbones import ResFCN
from deep3dmap.engine.checkpoint import read_pickle
from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.cards import find_card
from deep3dmap.frameworks.prnet.published import PORT_REACH, convert
from tests.goldens import FOLDER, read, tensor, tensors

NAME = "resfcn_size1"


@pytest.fixture
def tensorflow(tmp_path) -> Path:
    """The authors' graph with one channel in the first layer, as TensorFlow 2.21 saves it."""
    zipfile.ZipFile(FOLDER / "prnet" / "tensorflow_size1.zip").extractall(tmp_path)
    return tmp_path / NAME


@pytest.fixture
def port(tmp_path) -> Path:
    """The port's small network, as its training saves it."""
    path = tmp_path / "latest.pth"
    torch.save(dict(prnet=port_state(), Loss=[0.5], start_epoch=3), path)
    return path


def port_state() -> dict[str, torch.Tensor]:
    state = tensors(read("prnet/resfcn256_port_size2_weights"), "w.")
    counters = {name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in state if "mean" in name}
    return state | counters


def network_of(model: dict, state: dict[str, torch.Tensor]) -> ResFCN:
    network = ResFCN(**{key: value for key, value in model["backbone"].items() if key != "type"})
    network.load_state_dict({name.removeprefix("backbone."): value for name, value in state.items()})
    return network.eval()


@torch.no_grad()
def test_a_converted_checkpoint_maps_a_picture_as_tensorflow(tensorflow):
    golden = read("prnet/tensorflow_size1")
    model, _, state = convert(tensorflow, read_pickle)
    image = torch.from_numpy(golden["img"]).permute(0, 3, 1, 2).float() / 255
    network = network_of(model, state)
    factor = network.resolution // image.shape[2]
    ours = network(image.repeat_interleave(factor, 2).repeat_interleave(factor, 3))[0].permute(1, 2, 0)
    torch.testing.assert_close(ours[::8, ::8], tensor(golden["out256_sub"]), atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[[0, 1, 127, 254, 255]], tensor(golden["out256_rows"]), atol=1e-4, rtol=0)


def test_the_ports_file_gives_its_network_without_the_shortcuts_that_it_does_not_use(port):
    model, _, state = convert(port, read_pickle)
    network = network_of(model, state)
    assert model["backbone"]["variant"] == "port" and model["reach"] == PORT_REACH
    assert int(network.encoder[1].norm.num_batches_tracked) == 7
    expected = port_state()["block3.conv2.weight"]
    torch.testing.assert_close(network.encoder[3].conv2.conv.weight.detach(), expected, atol=0, rtol=0)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {f"module.{k}": v for k, v in state.items()}])
def test_a_bare_state_and_one_of_several_gpus_are_read_too(port, tmp_path, wrap):
    torch.save(wrap(port_state()), tmp_path / "bare.pth")
    bare, saved = (convert(path, read_pickle) for path in (tmp_path / "bare.pth", port))
    assert bare[0] == saved[0]
    torch.testing.assert_close(bare[2], saved[2], atol=0, rtol=0)


def test_other_files_are_refused_by_name(tmp_path):
    torch.save(dict(weights=torch.zeros(3)), tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="other.pth.*block0.weight"):
        convert(tmp_path / "other.pth", read_pickle)


def test_the_card_converts():
    assert find_card("prnet", "convert").convert is convert


@pytest.mark.parametrize("kind", ["tensorflow", "port"])
def test_the_command_writes_a_checkpoint_that_finds_faces(request, kind, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(real_data))
    target = convert_checkpoint(request.getfixturevalue(kind), tmp_path / "prnet.pth", "prnet")
    framework = load_framework(target, "cpu")
    face = framework.find_face(np.full((80, 90, 3), 128, np.uint8), np.array([20, 20, 60, 60], np.float32))
    assert face.layout.name == "bfm" and face.landmarks.shape == (68, 3)


def test_weights_that_are_missing_are_named(port, real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEP3DMAP_DATA", str(real_data))
    state = port_state()
    del state["upsample3.bias"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(CheckpointError, match="decoder.3.conv.bias"):
        convert_checkpoint(tmp_path / "less.pth", tmp_path / "out.pth", "prnet")
