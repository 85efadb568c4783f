"""NeuralRecon by its config and commands, on two small synthetic rooms."""

import numpy as np
import pytest
from torch import Tensor, nn

from deep3dmap.apis import test as evaluate
from deep3dmap.apis import train
from deep3dmap.registry import BACKBONES
from tests.engine.test_resume import assert_same, state
from tests.rooms_fixture import SPACE, VIEWS

CONFIG = "configs/neuralrecon/small.py"
STEPS = 60, 30


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
        "model.backbone3d.channels": [12, 9, 6], "model.size": SPACE["size"],
            "model.voxel_size": SPACE["voxel_size"],
            "train_dataloader": dict(dataset=dict(data, prepared=prepared_rooms, pipeline=random)),
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


def found(work, options, folder, **changes) -> tuple:
    result = evaluate(CONFIG, work, folder, options=options | changes)
    return result, result.metrics["rooms"]


def test_rooms_are_learned_to_half_a_voxel_or_so(trained, options, tmp_path):
    _, before = found(trained / "checkpoints" / "step_00000001.pth", options, tmp_path / "first")
    result, after = found(trained, options, tmp_path / "last")
    assert after["f_score@0.25"] > max(0.5, 1.5 * before["f_score@0.25"])
    assert len(result.mesh.faces) > 100


def test_surfaces_face_the_camera(trained, options, tmp_path):
    result, _ = found(trained, options, tmp_path)
    item = result.results[0]
    mesh, centre = item.result.mesh, item.item["recording"].poses[:, :3, 3].mean(0)
    inward = ((centre - mesh.triangles_center) * mesh.face_normals).sum(1) > 0
    assert item.result.one_sided and np.average(inward, weights=mesh.area_faces) > 0.6


def test_a_run_resumed_in_a_sequence_ends_the_same(trained, options, tmp_path):
    for step in (2, STEPS[0] + 5):
        checkpoint = trained / "checkpoints" / f"step_{step:08d}.pth"
        work = tmp_path / str(step)
        train(CONFIG, work, resume=str(checkpoint), options=options | stages(*STEPS), seed=0)
        assert_same(state(work), state(trained))


def test_without_recurrence_the_distances_are_others(trained, options, tmp_path):
    with_memory, _ = found(trained, options, tmp_path / "with")
    without, _ = found(trained, options, tmp_path / "without", **{"model.recurrent": False})
    assert len(with_memory.mesh.vertices) != len(without.mesh.vertices)


def test_validation_does_not_disturb_the_memory(trained, options, tmp_path):
    changes = {"val_cfg": dict(every_steps=50, best="f_score@0.25"), "val_dataset": options["test_dataset"],
               "val_evaluator": [dict(type="RoomMetrics", voxel_size=SPACE["voxel_size"], thresholds=[0.25])]}  # yapf: disable
    train(CONFIG, tmp_path, options=options | stages(*STEPS) | changes, seed=0)
    other, own = state(tmp_path), state(trained)
    assert_same(other["weights"], own["weights"])
