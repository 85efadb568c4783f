"""Published checkpoints of NeuralRecon."""

import pytest
import torch

from deep3dmap.backbones import MnasMulti, SparseUNet
from deep3dmap.engine.checkpoint import load_weights, read_pickle
from deep3dmap.errors import CheckpointError
from deep3dmap.frameworks.neuralrecon.network import NeuralReconNetwork
from deep3dmap.frameworks.neuralrecon.published import read_published
from tests.goldens import manifest

SHAPES = manifest("neuralrecon")["meta"]["state_dict"]


def saved(tmp_path, **changes):
    """A checkpoint with the published names, as several GPUs save it."""
    state = {
        f"module.{name}": torch.full(shape, 0.5) if shape else torch.tensor(3)
        for name, shape in SHAPES.items()
    } | changes
    torch.save(dict(model=state, epoch=47, optimizer={}), tmp_path / "model_000047.ckpt")
    return tmp_path / "model_000047.ckpt"


def test_every_published_weight_finds_its_place(tmp_path):
    network = NeuralReconNetwork(MnasMulti(), SparseUNet())
    load_weights(network, read_published(saved(tmp_path), read_pickle), "file")
    assert len(network.state_dict()) == len(SHAPES)
    assert all((p == 0.5).all() for p in network.parameters())
    assert sum(p.numel() for p in network.parameters()) == 8_340_326


@pytest.mark.parametrize("content", [dict(model={}), dict(state_dict={}), [1, 2], dict(model=3)])
def test_another_file_is_refused(content, tmp_path):
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="other.ckpt: .*neucon_net.tsdf_preds.0.weight"):
        read_published(tmp_path / "other.ckpt", read_pickle)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    name = "module.backbone2d.out1.weight"
    path = saved(tmp_path, **{name: torch.full(SHAPES[name.removeprefix("module.")], torch.nan)})
    with pytest.raises(CheckpointError, match="'backbone2d.out1.weight' is not a tensor of finite"):
        read_published(path, read_pickle)
