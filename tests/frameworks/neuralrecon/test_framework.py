"""NeuralRecon by its config and commands, on two small synthetic rooms."""

import pytest
import torch
from mmengine.dataset import default_collate
from torch import Tensor, nn

from deep3dmap.apis import load_framework, train
from deep3dmap.apis import test as evaluate
from deep3dmap.registry import BACKBONES, DATASETS
from tests.engine.test_resume import assert_same, state
from tests.rooms_fixture import SPACE, VIEWS

CONFIG = "configs/neuralrecon/small.py"
STEPS = 40, 16


@BACKBONES.register_module()
class TinyPyramid(nn.Module):
    """Features of the same strides and channels as the real ones, but within a minute's training: without running norms."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for outputs, stride in ((24, 4), (40, 2), (80, 2)):
            layers.append(nn.Sequential(nn.Conv2d(inputs, outputs, stride + 1, stride, stride // 2), nn.GroupNorm(8, outputs)))
            inputs = outputs
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 4, 8 and 16."""
        features = [images / 128 - 1]
        for layer in self.layers:
            features.append(layer(features[-1]).relu())
        return features[1:]


@pytest.fixture(scope="module")
def options(small_rooms, prepared_rooms) -> dict:
    """Of a run with a small network on the small rooms, tested on the rooms it has seen."""
    data = dict(type="Fragments", recording=dict(small_rooms, split="train"), size=(48, 64), **VIEWS)
    random, still = ([dict(type=name, **SPACE)] for name in ("RandomSpace", "FragmentSpace"))
    return {"model.backbone2d.type": "TinyPyramid", "model.backbone2d.weights": None,
        "model.backbone3d.channels": [12, 9, 6], "model.backbone3d.features": [80, 40, 24], "model.variance": False, "model.size": SPACE["size"],
            "model.voxel_size": SPACE["voxel_size"],
            **{f"train_dataloader.dataset.{key}": value for key, value in
               dict(data, recording=[data["recording"]], prepared=prepared_rooms, pipeline=random).items()}, "train_dataloader.batch_size": 1,
            "optim_wrapper.network.average": 0.01, "param_scheduler": None, "optim_wrapper.network.optimizer.lr": 1e-3,
            "test_dataset": dict(data, pipeline=still), "test_evaluator.0.voxel_size": SPACE["voxel_size"],
            "test_evaluator.0.thresholds": [0.25], "val_cfg": None, "val_dataset": None, "val_evaluator": None,
            "default_hooks.checkpoint.steps": 1, "default_hooks.checkpoint.keep": 0, "amp": False}  # yapf: disable


def stages(fragments: int, fusion: int) -> dict:
    return {"train_cfg.stages": [dict(name="fragments", max_steps=fragments), dict(name="fusion", max_steps=fusion)]}


@pytest.fixture(scope="module")
def trained(options, tmp_path_factory):
    """The work folder of a run of some steps in each stage."""
    work = tmp_path_factory.mktemp("neuralrecon") / "work"
    train(CONFIG, work, options=options | stages(*STEPS), seed=0)
    return work


def told_apart(checkpoint, options) -> float:
    """Share of coarse voxels whose occupancy is right, occupied and free ones weighing the same."""
    start = "train_dataloader.dataset."
    data = {key.removeprefix(start): value for key, value in options.items() if key.startswith(start)}
    fragments, network = DATASETS.build(data), load_framework(checkpoint)
    logits, truth = [], []
    for index in range(len(fragments)):
        batch = default_collate([fragments[index]])
        with torch.no_grad():
            level = network.network(batch | dict(images=batch["images"].float()))["levels"][0]
        logits.append(level["occupancy"]), truth.append(level["occupancy_target"])
    right = torch.cat(truth) == (torch.cat(logits) > 0)
    return float(right[torch.cat(truth)].float().mean() + right[~torch.cat(truth)].float().mean()) / 2


def test_occupied_and_free_voxels_are_told_apart_after_training(trained, options):
    first = told_apart(trained / "checkpoints" / "step_00000001.pth", options)
    assert told_apart(trained, options) > max(0.7, first + 0.1)


def test_a_scene_is_tested_as_a_whole(trained, options, tmp_path):
    result = evaluate(CONFIG, trained, tmp_path, options=options)
    assert result.metrics["rooms"]["rooms"] == 2
    assert [each.name for each in result.results] == ["train_00000", "train_00001"]
    assert all(each.result.one_sided for each in result.results)


@pytest.mark.parametrize("step", [STEPS[0] - 4, STEPS[0] + 5])  # in either stage, the second in a sequence
def test_a_run_resumed_in_a_sequence_ends_the_same(step, trained, options, tmp_path):
    checkpoint = str(trained / "checkpoints" / f"step_{step:08d}.pth")
    train(CONFIG, tmp_path, resume=checkpoint, options=options | stages(*STEPS), seed=0)
    assert_same(state(tmp_path), state(trained))
