"""Whole runs of StyleGAN2: it learns; resumed runs and several processes end as one does."""

from functools import partial

import pytest
import torch

from deep3dmap.apis import load_framework
from deep3dmap.engine.checkpoint import list_checkpoints, load_checkpoint
from tests.engine.killing import differences, forked_ranks, state, train
from tests.frameworks.stylegan2.tiny import SIZE, TwoColors, run_config


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_pictures_become_like_those_of_the_training(tmp_path, one_thread):
    model = run_config(0)["model"] | dict(augment_target=None, r1_weight=1.0, r1_every=8, path_every=8)
    train(run_config(120, model=model, default_hooks=dict(checkpoint=dict(minutes=None))), tmp_path, seed=1)
    gan = load_framework(tmp_path, "cpu")
    made = gan.sample(gan.latents(64, 0)).mean((0, 2))
    real = TwoColors(64).batch(0, torch.Generator().manual_seed(0))["images"].float().mean((0, 1)).T / 255
    untrained = 0.5 - real
    assert (made - real).abs().mean() < 0.5 * untrained.abs().mean()
    left, right = made[:, :SIZE // 2 - 1].mean(1), made[:, SIZE // 2 + 1:].mean(1)
    assert right[1] - left[1] > 0.3  # of 0.82


def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, one_thread):
    train(run_config(5), tmp_path / "whole")
    for step in (1, 3):
        train(run_config(5), tmp_path / str(step), resume=str(tmp_path / "whole" / "checkpoints" / f"step_{step:08d}.pth"))
        assert not list(differences(state(tmp_path / str(step)), state(tmp_path / "whole")))


def test_two_processes_train_as_one(tmp_path, one_thread):
    """By plain gradient descent, whose steps are proportional to the gradients."""
    train(run_config(4, adam=False), tmp_path / "one")
    codes, text = forked_ranks(2, partial(train, run_config(4, adam=False), tmp_path / "two", launcher="pytorch"))
    assert not any(codes), text
    ours, theirs = (load_checkpoint(list_checkpoints(tmp_path / name)[-1]) for name in ("two", "one"))
    start = load_checkpoint(list_checkpoints(tmp_path / "one")[0])["loop"]["weights"]
    for name, value in theirs["loop"]["weights"].items():
        torch.testing.assert_close(ours["loop"]["weights"][name], value, rtol=0, atol=1e-5, msg=name)
    moved = max(float((value - start[name]).abs().max()) for name, value in theirs["loop"]["weights"].items())
    assert moved > 1e-3  # what the processes agree about
