"""NeuralRecon by its config and commands, on two small synthetic rooms, in one process and in two."""

from pathlib import Path

import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.dist import get_rank
from torch import Tensor, nn

from deep3dmap.apis import load_framework, train
from deep3dmap.apis import test as evaluate
from deep3dmap.engine.checkpoint import load_checkpoint
from deep3dmap.errors import ConfigError
from deep3dmap.registry import BACKBONES, DATASETS
from tests.engine.killing import forked_ranks
from tests.engine.test_resume import assert_same, state
from tests.rooms_fixture import SPACE, VIEWS

CONFIG = "configs/neuralrecon/small.py"
STEPS = 24, 12


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
            "model.backbone3d.channels": [12, 9, 6], "model.backbone3d.features": [80, 40, 24], "model.variance": False,
            "model.recurrent": True,
            "model.size": SPACE["size"], "model.voxel_size": SPACE["voxel_size"],
            "train_dataloader.dataset": dict(data, _delete_=True, prepared=prepared_rooms, pipeline=random),
            "test_dataset": dict(data, pipeline=still), "test_evaluator.0.voxel_size": SPACE["voxel_size"],
            "test_evaluator.0.thresholds": [0.25], "val_cfg": None, "val_dataset": None, "val_evaluator": None,
            "optim_wrapper.network.average": 0.5, "optim_wrapper.network.optimizer.lr": 3e-3, "param_scheduler": None,
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
    data = {key: value for key, value in options["train_dataloader.dataset"].items() if key != "_delete_"}
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


@pytest.mark.parametrize("key, value", [("model.size", (24, 24, 24)), ("model.voxel_size", 0.1)])
def test_true_volumes_of_other_voxels_are_refused(key, value, options, tmp_path):
    with pytest.raises(ConfigError, match="RandomSpace"):
        train(CONFIG, tmp_path, options=options | stages(1, 1) | {key: value, "train_dataloader.num_workers": 0})


@pytest.mark.parametrize("step", [STEPS[0] - 4, STEPS[0] + 5])  # in either stage, the second in a sequence
def test_a_run_resumed_in_a_sequence_ends_the_same(step, trained, options, tmp_path):
    checkpoint = str(trained / "checkpoints" / f"step_{step:08d}.pth")
    train(CONFIG, tmp_path, resume=checkpoint, options=options | stages(*STEPS), seed=0)
    assert_same(state(tmp_path), state(trained))


# --- two processes --------------------------------------------------------------------------------------------------------

SHORT = 2, 4  # steps in two processes; the last ones are the second and later fragments of sequences


@pytest.fixture(scope="module")
def two(options, tmp_path_factory) -> Path:
    """Folders ``whole`` and ``resumed`` (in the second stage) of runs of two processes, with each one's final parameters."""
    root = tmp_path_factory.mktemp("two")

    def run(name: str, resume: str | None = None) -> None:
        runner = train(CONFIG, root / name, resume=resume or False, launcher="pytorch", seed=0, progress=False,
                       options=options | stages(*SHORT) | {"train_dataloader.batch_size": 1})  # yapf: disable
        torch.save({key: value.data for key, value in runner.framework.named_parameters()}, root / name / f"{get_rank()}.pt")

    checkpoint = root / "whole" / "checkpoints" / f"step_{SHORT[0] + 2:08d}.pth"
    codes, text = forked_ranks(2, lambda: run("whole"), lambda: run("resumed", str(checkpoint)))
    assert codes == [0, 0], text
    return root


def test_two_processes_have_the_same_parameters(two):
    for name in ("whole", "resumed"):
        assert_same(*(torch.load(two / name / f"{rank}.pt", weights_only=True) for rank in range(2)))


def test_two_processes_resumed_in_a_sequence_end_the_same(two):
    assert_same(state(two / "resumed"), state(two / "whole"))


def test_each_process_and_each_place_of_a_batch_remembers_a_scene_of_its_own(two, trained):
    """What is remembered of the truth doesn't depend on the weights."""
    for step in range(1, SHORT[1] + 1):
        ranks, one = (load_checkpoint(folder / "checkpoints" / f"step_{first + step:08d}.pth")["loop"]
                      for folder, first in ((two / "whole", SHORT[0]), (trained, STEPS[0])))
        first, second = (each["features"][0]["targets"] for each in (ranks["training"], *ranks["training_of_others"]))
        assert_same([first, second], [place["targets"] for place in one["training"]["features"]])
        assert all(len(level["coords"]) for level in first + second)
