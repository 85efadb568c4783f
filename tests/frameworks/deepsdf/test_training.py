"""DeepSDF through the runner: several processes, resuming, testing, exporting."""

import json

import pytest
import torch
import trimesh

from deep3dmap.apis import test, train
from deep3dmap.cli.app import main
from deep3dmap.engine.checkpoint import load_checkpoint
from tests.frameworks.idr.test_two_ranks import ROOT, assert_same_losses, checkpoint, run_ranks
from tests.shapes_fixture import write_shapes

evaluate = test
del test  # pytest would take it for a test

#: Five shapes a batch, of eight: two processes have unequal shares, and an epoch is one step.
CONFIG = '''
_base_ = ["{base}"]
model = dict(decoder=dict(code_length=4, dims=[32] * 3, dropout=[0, 1], dropout_prob=0.1, norm_layers=[0, 1, 2],
                          latent_in=[2]),
             code_bound=0.9, code_std=1.0, step_chunk=None, fit=dict(iterations=20, samples=100), resolution=16)
train_dataset = dict(type="SDFShapes", root="{root}", shapes=5, samples=64)
test_dataset = dict(type="SDFTestShapes", root="{root}", limit=3)
train_cfg = dict(type="StagedTrainLoop", max_steps=12)
default_hooks = dict(log=dict(interval=1), checkpoint=dict(minutes=None, steps=5, keep=0))
test_evaluator = [dict(type="ShapeMetrics", emd_samples=20)]
'''
WITHOUT_CHANCE = "model = dict(decoder=dict(dropout=None))\n"  # processes draw other numbers for what is dropped


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Configs ``drops.py`` and ``plain.py``, and a run ``one`` of the latter on one process."""
    folder = tmp_path_factory.mktemp("deepsdf")
    write_shapes(folder / "shapes", 600)
    (folder / "drops.py").write_text(CONFIG.format(base=ROOT / "configs" / "deepsdf" / "small.py", root=folder / "shapes"))
    (folder / "plain.py").write_text('_base_ = ["drops.py"]\n' + WITHOUT_CHANCE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(folder / "plain.py", folder / "one", progress=False)
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def two(folder):
    """What two processes made: a run, one that went on where one process was, and what they printed of a test."""
    (folder / "resumed" / "checkpoints").mkdir(parents=True)
    at = checkpoint(folder / "one", 5)
    printed = run_ranks(2, ["tools/train.py", folder / "plain.py", "--work-dir", folder / "two"],
                        ["tools/train.py", folder / "plain.py", "--work-dir", folder / "resumed", "--resume", at],
                        ["tools/test.py", folder / "plain.py", folder / "one", "--work-dir", folder / "tested"])
    return printed


def weights(path) -> dict:
    return load_checkpoint(path)["state_dict"]


def test_two_processes_have_the_losses_and_codes_of_one(folder, two):
    assert_same_losses(folder / "two", folder / "one")
    ours, expected = (weights(checkpoint(folder / name, 12)) for name in ("two", "one"))
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, atol=1e-4, rtol=0, msg=name)


def test_two_processes_continue_where_one_was(folder, two):
    assert_same_losses(folder / "resumed", folder / "one", first=6)


def test_codes_that_are_looked_up_are_cut_off_at_the_bound(folder):
    lengths = weights(checkpoint(folder / "one", 12))["codes.weight"].norm(dim=1)
    assert lengths.max() < 0.9 * 1.1  # the step after the look-up may bring them a little beyond
    assert load_checkpoint(checkpoint(folder / "one", 5))["state_dict"]["codes.weight"].norm(dim=1).max() > 0.5


def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_not_stopped(folder):
    train(folder / "drops.py", folder / "whole", progress=False)
    train(folder / "drops.py", folder / "again", resume=str(checkpoint(folder / "whole", 5)), progress=False)
    ours, expected = (weights(checkpoint(folder / name, 12)) for name in ("again", "whole"))
    assert all(torch.equal(ours[name], value) for name, value in expected.items())
    assert list(ours) == list(expected)


def test_every_step_logs_what_the_reference_logs(folder):
    records = [json.loads(line) for line in (folder / "one" / "scalars.jsonl").read_text().splitlines()]
    assert all(0 < record["code_length"] < 1 for record in records)
    assert all(record["norm_decoder.lin1.weight_g"] > 0 for record in records)
    assert all({"loss", "loss_sdf", "loss_code", "lr_decoder", "lr_codes"} <= set(record) for record in records)


def test_testing_fits_and_measures_each_shape(folder):
    result = evaluate(folder / "plain.py", folder / "one", folder / "evaluated")
    counts = result.metrics["shapes"]
    assert counts["measured"] + counts["failed"] == 3
    assert bool(result.notes) == (counts["failed"] > 0)
    rows = (folder / "evaluated" / "test" / "shapes.csv").read_text().splitlines()
    assert len(rows) == 4 and rows[0].startswith("shape,")


def test_the_mesh_of_a_training_shape_comes_in_its_own_frame(shape_checkpoint, tmp_path):
    """The shapes of the fixture lie around (-1, 2, -0.5) and are four times as large as in the normalised frame."""
    from deep3dmap.apis.inference import load_framework
    mesh = load_framework(shape_checkpoint, "cpu").extract_mesh(48, shape="ball_50")
    assert mesh.bounds.mean(0) == pytest.approx([-1.0, 2.0, -0.5], abs=0.15)
    assert mesh.extents == pytest.approx([4.0, 4.0, 4.0], abs=0.3)
    assert mesh.is_watertight


def test_the_mean_shape_can_be_exported_as_other_methods_meshes(shape_checkpoint, tmp_path):
    assert main(["export-mesh", str(shape_checkpoint), str(tmp_path / "mean.ply"), "--resolution", "24"]) == 0
    assert len(trimesh.load_mesh(tmp_path / "mean.ply").faces) > 100


def test_reconstruct_fits_new_shapes_with_a_trained_decoder(shape_checkpoint, shape_root, tmp_path):
    options = ["--method", "deepsdf", "--weights", str(shape_checkpoint), "-o", str(tmp_path / "out"), "--device", "cpu"]
    small = ["test_dataset.limit=2", "model.fit.iterations=5", "model.resolution=16"]
    assert main(["reconstruct", str(shape_root), *options, "--cfg-options", *small]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert sum(found["shapes"].values()) == 2 and (tmp_path / "out" / "shapes.csv").is_file()
    assert "<html" in (tmp_path / "out" / "report.html").read_text()
