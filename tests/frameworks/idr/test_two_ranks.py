"""IDR on two and three processes: the losses, results and resumed runs of one process."""

import json
import runpy
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from deep3dmap.apis import export_mesh, test, train
from deep3dmap.datasets.captures.formats import save_capture
from deep3dmap.datasets.synthetic import generate_capture
from deep3dmap.engine.checkpoint import load_checkpoint
from tests.engine.killing import forked_ranks

evaluate = test
del test  # pytest would take it for a test

ROOT = Path(__file__).parents[3]

#: Neither rays nor points are a multiple of two or three: the processes have unequal shares. An epoch of ``train`` is 6 steps.
FIXED = '''
_base_ = ["{base}"]
amp = False
scene = dict(capture="{folder}", test_views=7)
model = dict(geometry=dict(width=32, depth=2, skip=[], frequencies=2, features=8),
             radiance=dict(width=16, depth=1, features=8, view_frequencies=0, point_frequencies=0),
             renderer=dict(iterations=6, samples=16))
train_dataset = dict(type="RayBatches", rays=127, focus=0.9)
test_dataset = dict(type="Views", split="all", train_views=2)
test_cfg = dict(resolution=24)
optim_wrapper = dict(clip_grad=dict(max_norm=1.0))
param_scheduler = dict(_delete_=True, type="ProgressLR", decay=0.05)
train_cfg = dict(stages=[dict(name="fit_sdf", max_steps=4, params=["geometry.*"],
                              train_dataset=dict(type="HullDistances", resolution=16, points=301)),
                         dict(name="train", max_steps=14)])
default_hooks = dict(log=dict(interval=1), checkpoint=dict(minutes=None, steps=6, keep=0))
'''

#: A view a batch, so that a process's share may see cameras and surface as little as the others'.
TRAINED = '''
_base_ = ["fixed.py"]
model = dict(train_cameras=True)
train_dataset = dict(views_per_batch=1)
optim_wrapper = dict(_delete_=True,
                     rest=dict(optimizer=dict(type="Adam", lr=2e-3)),
                     cameras=dict(optimizer=dict(type="SparseAdam", lr=1e-3)))
train_cfg = dict(stages=[dict(name="fit_sdf", max_steps=4, params=["geometry.*"],
                              optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
                              train_dataset=dict(type="HullDistances", resolution=16, points=301)),
                         dict(name="train", max_steps=14)])
'''


def run_ranks(world: int, *commands: list) -> str:
    """What the programs of ``tools/`` printed, run one after another by the same processes; their warnings are errors."""

    def run(command: list) -> None:
        sys.argv = [str(ROOT / command[0]), *map(str, command[1:]), "--launcher", "pytorch"]
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            assert not end.code

    codes, text = forked_ranks(world, *(partial(run, command) for command in commands))
    assert not any(codes), text
    return text


def losses(folder: Path, first: int = 1) -> dict[str, np.ndarray]:
    """Loss terms by stage and name, from a step on, one entry a step."""
    records = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    found: dict[str, list[float]] = {}
    for record in (r for r in records if r["step"] >= first):
        for name in (n for n in record if n.startswith("loss")):
            found.setdefault(f"{record['stage']} {name}", []).append(record[name])
    return {name: np.array(values) for name, values in found.items()}


def assert_same_losses(folder: Path, expected: Path, first: int = 1) -> None:
    ours, theirs = losses(folder, first), losses(expected, first)
    assert list(ours) == list(theirs) and len(theirs) >= 3
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-5, err_msg=name)


def checkpoint(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step_{step:08d}.pth"


@pytest.fixture(scope="module")
def configs(ball_file, tmp_path_factory) -> Path:
    """A folder with the configs ``fixed.py`` and ``trained.py`` on a small capture."""
    folder = tmp_path_factory.mktemp("configs")
    save_capture(generate_capture(ball_file, views=7, test_views=0, size=(32, 32), supersample=1), folder / "ball", "idr")
    base = ROOT / "configs" / "idr" / "small.py"
    (folder / "fixed.py").write_text(FIXED.format(base=base, folder=folder / "ball"))
    (folder / "trained.py").write_text(TRAINED)
    return folder


@pytest.fixture(scope="module")
def one(configs, tmp_path_factory) -> dict[str, Path]:
    """Work folders of one process, by config."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folders = {name: tmp_path_factory.mktemp(f"one_{name}") for name in ("fixed", "trained")}
    for name, folder in folders.items():
        train(configs / f"{name}.py", folder, progress=False)
    torch.set_num_threads(threads)
    return folders


@pytest.fixture(scope="module")
def two(configs, one, tmp_path_factory) -> dict[str, Path]:
    """Work folders of two processes, by config; ``resumed`` goes on in the middle of an epoch of one process's run."""
    folders = {name: tmp_path_factory.mktemp(f"two_{name}") for name in ("fixed", "trained", "resumed")}
    fixed, trained = configs / "fixed.py", configs / "trained.py"
    run_ranks(2, ["tools/train.py", fixed, "--work-dir", folders["fixed"]],
              ["tools/train.py", trained, "--work-dir", folders["trained"]],
              ["tools/train.py", trained, "--work-dir", folders["resumed"], "--resume",
               checkpoint(one["trained"], 12)])
    return folders


@pytest.fixture(scope="module")
def three(configs, one, two, tmp_path_factory) -> tuple[Path, str]:
    """A work folder of three processes that went on with two's and were tested, and what the test printed."""
    folder = tmp_path_factory.mktemp("three")
    config = configs / "fixed.py"
    printed = run_ranks(3, ["tools/train.py", config, "--work-dir", folder, "--resume",
                            checkpoint(two["fixed"], 12)],
                        ["tools/test.py", config, checkpoint(one["fixed"], 18), "--work-dir", folder])
    return folder, printed


@pytest.mark.parametrize("name", ["fixed", "trained"])
def test_two_processes_have_the_losses_of_one_in_every_step(name, one, two):
    assert_same_losses(two[name], one[name])


@pytest.mark.parametrize("name", ["fixed", "trained"])
def test_two_processes_end_with_the_weights_of_one(name, one, two):
    ours, theirs, start = (load_checkpoint(path)["state_dict"]
                           for path in (checkpoint(two[name], 18), checkpoint(one[name], 18), checkpoint(one[name], 6)))
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=2e-5, msg=key)
    moved = [key for key in theirs if (theirs[key] - start[key]).abs().max() > 1e-4]
    assert any(key.startswith("radiance") for key in moved) and ("cameras.poses.weight" in moved) == (name == "trained")


def test_two_processes_continue_where_one_was_in_the_middle_of_an_epoch(one, two):
    assert_same_losses(two["resumed"], one["trained"], first=13)


def test_three_processes_continue_where_two_were(one, three):
    assert_same_losses(three[0], one["fixed"], first=13)


@pytest.mark.parametrize("name", ["fixed", "trained"])
def test_one_process_continues_where_two_were(name, configs, one, two, tmp_path):
    train(configs / f"{name}.py", tmp_path, resume=str(checkpoint(two[name], 12)), progress=False)
    assert_same_losses(tmp_path, one[name], first=13)


def test_three_processes_find_what_one_finds_in_a_test(configs, one, three, tmp_path):
    folder, printed = three
    alone = evaluate(configs / "fixed.py", checkpoint(one["fixed"], 18), tmp_path)
    ours, theirs = (json.loads((path / "test" / "metrics.json").read_text()) for path in (folder, tmp_path))
    assert list(ours["views"]) == list(theirs["views"]) and len(ours["views"]) == 3
    for view, figures in theirs["views"].items():
        assert ours["views"][view].pop("split") == figures.pop("split")
        assert ours["views"][view] == pytest.approx(figures, rel=1e-4), view
    assert printed.count("held-out views") == 1 and len(alone.views) == 3
    for group in alone.metrics:
        assert ours[group] == pytest.approx(theirs[group], rel=1e-4)


def test_the_mesh_of_two_processes_is_that_of_one(one, two, tmp_path):
    alone, together = (export_mesh(runs["fixed"], tmp_path / "mesh.ply", resolution=24) for runs in (one, two))
    assert len(together.faces) == len(alone.faces)
    np.testing.assert_allclose(together.vertices, alone.vertices, atol=1e-4 * alone.scale)
