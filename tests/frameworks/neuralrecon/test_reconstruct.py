"""NeuralRecon goes through a recording: it resumes, and its mesh grows and is shown. The weights are random."""

import json

import numpy as np
import pytest
import torch

from deep3dmap.apis import reconstruct
from deep3dmap.engine import sequence_progress
from deep3dmap.engine.checkpoint import FORMAT, save_checkpoint
from deep3dmap.engine.config import load_config
from deep3dmap.frameworks import NeuralRecon
from deep3dmap.registry import DATASETS, FRAMEWORKS
from tests.frameworks.neuralrecon.test_framework import CONFIG, TinyPyramid
from tests.rooms_fixture import SPACE, VIEWS


@pytest.fixture(scope="module")
def options(small_rooms) -> dict:
    """Of the inference of one of the small rooms with a small network."""
    data = dict(type="Fragments", recording=dict(small_rooms, split="train", count=1), size=(48, 64), **VIEWS)
    return {"model.backbone2d": dict(type=TinyPyramid.__name__, _delete_=True), "model.backbone3d.channels": [12, 9, 6],
            "model.size": SPACE["size"], "model.voxel_size": SPACE["voxel_size"],
            "test_dataset": dict(data, pipeline=[dict(type="FragmentSpace", **SPACE)]), "test_evaluator": []}  # yapf: disable


@pytest.fixture(scope="module")
def weights(options, tmp_path_factory):
    """A checkpoint of random weights with which all voxels are occupied, and distances of the first fragment are around 0."""
    cfg, path = load_config(CONFIG, options), tmp_path_factory.mktemp("weights") / "random.pth"
    torch.manual_seed(0)
    framework = FRAMEWORKS.build(cfg.model.to_dict()).eval()
    with torch.no_grad():
        for head in framework.network.occupancy_heads:
            head.bias += 9
        list(framework.reconstruct(DATASETS.build(cfg.test_dataset.to_dict())[0]))
        framework.network.tsdf_heads[-1].bias -= framework.network.tsdf_fusion.scene[1].median()
    meta = dict(version="0", framework="NeuralRecon", config=json.dumps(cfg.to_dict(), default=str), seed=0)
    save_checkpoint(dict(format=FORMAT, meta=meta, info={}, loop={}, state_dict=framework.state_dict()), path)
    return path


@pytest.fixture
def infer(weights, options, monkeypatch):
    """Reconstructs the room without drawing videos, and keeps the progress after each fragment."""
    for name in ("turntable", "growth"):
        monkeypatch.setattr(f"deep3dmap.apis.showing.{name}", lambda *_, **__: [np.zeros((8, 8, 3), np.uint8)])
    monkeypatch.setattr(sequence_progress, "SECONDS", 0)

    def run(output, **arguments):
        reconstruct(None, output, config=CONFIG, weights=weights, options=options, log=lambda line: None, **arguments)
        return (output / "mesh.ply").read_bytes(), {path.name: path.read_bytes() for path in output.glob("growing/*")}

    return run


def test_killed_after_a_fragment_it_resumes_to_the_same_meshes(infer, tmp_path, monkeypatch):
    mesh, grown = infer(tmp_path / "whole", mesh_every=1)
    assert len(grown) == len({*grown.values()}) == 4 and mesh == grown[max(grown)]

    forward, left = NeuralRecon.forward, [True, True]
    with monkeypatch.context() as patch, pytest.raises(IndexError):
        patch.setattr(NeuralRecon, "forward", lambda *arguments: left.pop() and forward(*arguments))
        infer(tmp_path / "killed")
    names = sorted(grown)[2:]
    assert infer(tmp_path / "killed", resume=True, mesh_every=1) == (mesh, {name: grown[name] for name in names})
    assert not (tmp_path / "killed" / "run" / sequence_progress.SEQUENCES).exists()
