"""The same seed gives the same run, and a resumed run ends exactly as one that was never stopped."""

import itertools
import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.loops import OutOfTimeError
from deep3dmap.errors import ConfigError
from deep3dmap.registry import HOOKS
from tests.engine.killing import differences, state

EPOCHS = dict(type="MultiStepLR", by_epoch=True, milestones=[1, 2, 3], gamma=0.5)
LINES = dict(
    items=dict(param_scheduler=EPOCHS),
    workers=dict(param_scheduler=EPOCHS,
                 train_dataloader__num_workers=2,
                 train_dataloader__persistent_workers=True,
                 train_cfg__stages__1__max_steps=5),
    whole_batches=dict(param_scheduler=dict(type="ProgressLR", decay=0.1, warmup=4),
                       train_dataloader=None,
                       train_dataset=dict(type="LineBatches")),
)  # yapf: disable


@HOOKS.register_module()
class SignalAt(Hook):
    """Sends this process a signal after a step of the run, as a user's Ctrl-C does."""

    def __init__(self, step: int, number: int = int(signal.SIGINT)):
        self.step, self.number = step, number

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter == self.step:
            os.kill(os.getpid(), self.number)


def assert_same(a, b) -> None:
    """Bit for bit."""
    assert not list(differences(a, b))


def scalars(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]


@pytest.fixture
def uninterrupted(line_config, runner_of, tmp_path):
    """Trains one of the LINES with a checkpoint after every step; returns its config and folder."""

    def train(kind: str, **changes):
        config = line_config(**LINES[kind], **changes, default_hooks__checkpoint=dict(steps=1, keep=0, minutes=None))
        runner_of(config, tmp_path / "whole").train()
        return config, tmp_path / "whole"

    return train


@pytest.mark.parametrize("kind", ["items", "whole_batches"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_gives_others(kind, line_config, runner_of, tmp_path):
    config = line_config(**LINES[kind])
    for name, seed in dict(a=3, b=3, c=4).items():
        runner_of(config, tmp_path / name, seed=seed).train()
    assert_same(state(tmp_path / "a"), state(tmp_path / "b"))
    weights = [state(tmp_path / name)["weights"]["backbone.slope"] for name in "ac"]
    assert not torch.equal(*weights)


def test_workers_change_nothing(line_config, runner_of, tmp_path):
    for workers in (0, 2):
        runner_of(line_config(train_dataloader__num_workers=workers, train_cfg__stages__1__max_steps=4),
                  tmp_path / str(workers)).train()
    assert_same(state(tmp_path / "0"), state(tmp_path / "2"))


# steps: within an epoch of stage 1, at an epoch's end, at the stage's end, within stage 2, at an epoch's end there, at its end
@pytest.mark.parametrize("kind", ["items", "whole_batches"])
def test_a_run_resumed_at_any_step_ends_as_the_uninterrupted_one(kind, uninterrupted, runner_of, tmp_path):
    config, whole = uninterrupted(kind)
    for step in (2, 3, 6, 8, 9, 16):
        runner_of(config, tmp_path / str(step), resume=str(whole / "checkpoints" / f"step_{step:08d}.pth")).train()
        assert_same(state(tmp_path / str(step)), state(whole))


def test_a_run_with_workers_resumed_within_an_epoch_ends_as_the_uninterrupted_one(uninterrupted, runner_of, tmp_path):
    config, whole = uninterrupted("workers")
    runner_of(config, tmp_path / "b", resume=str(whole / "checkpoints" / "step_00000008.pth")).train()
    assert_same(state(tmp_path / "b"), state(whole))


def test_the_learning_rate_of_a_resumed_run_goes_on_where_it_was(uninterrupted, runner_of, tmp_path):
    config, whole = uninterrupted("items")
    runner_of(config, tmp_path / "b", resume=str(whole / "checkpoints" / "step_00000009.pth")).train()
    rates = {record["step"]: record["lr"] for record in scalars(whole)}
    assert len(set(rates.values())) > 1
    assert {r["step"]: r["lr"] for r in scalars(tmp_path / "b")} == {k: v for k, v in rates.items() if k > 9}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [4, 6, 11])
def test_an_interrupt_leaves_a_checkpoint_from_which_the_run_ends_the_same(number, step, line_config, runner_of, tmp_path):
    config = line_config(**LINES["items"])
    runner_of(config, tmp_path / "whole").train()
    stopped = runner_of(config | dict(custom_hooks=[dict(type="SignalAt", step=step, number=int(number))]), tmp_path / "b")
    stopped.train()
    assert stopped.train_loop.interrupted and step <= stopped.iter <= step + 1
    assert list_checkpoints(tmp_path / "b")[-1].name == f"step_{stopped.iter:08d}.pth"
    resumed = runner_of(config, tmp_path / "b", resume=True)
    resumed.train()
    assert not resumed.train_loop.interrupted
    assert_same(state(tmp_path / "b"), state(tmp_path / "whole"))


def test_scalars_of_a_resumed_run_have_every_record_once(line_config, runner_of, tmp_path):
    config = line_config(default_hooks__checkpoint=dict(steps=5, minutes=None))
    runner_of(config, tmp_path / "whole").train()
    runner_of(config | dict(custom_hooks=[dict(type="SignalAt", step=8)]), tmp_path / "b").train()
    (tmp_path / "b" / "checkpoints" / "step_00000009.pth").unlink(missing_ok=True)  # as if it had been killed
    (tmp_path / "b" / "checkpoints" / "step_00000008.pth").unlink(missing_ok=True)
    with open(tmp_path / "b" / "scalars.jsonl", "a") as file:
        file.write('{"step": 10, "los')  # a torn line
    runner_of(config, tmp_path / "b", resume=True).train()
    assert [r["step"] for r in scalars(tmp_path / "b")] == [r["step"] for r in scalars(tmp_path / "whole")]
    assert [r["loss"] for r in scalars(tmp_path / "b")][-3:] == [r["loss"] for r in scalars(tmp_path / "whole")][-3:]


def test_a_finished_run_resumed_as_it_was_does_no_step_and_goes_on_with_a_larger_budget(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    before = state(tmp_path)
    runner = runner_of(line_config(), tmp_path, resume=True)
    runner.train()
    assert runner.iter == 16
    assert_same(before, state(tmp_path))
    runner = runner_of(line_config(train_cfg__stages__1__max_steps=14), tmp_path, resume=True)
    runner.train()
    assert runner.iter == 20


def test_a_deadline_within_a_stage_leaves_the_rest_of_the_stage_to_the_resumed_run(line_config, runner_of, tmp_path,
                                                                                   monkeypatch):
    clock = itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: float(next(clock)))
        late = runner_of(line_config(), tmp_path, deadline=9.0)
        late.train()
    assert 0 < late.iter < 9
    runner = runner_of(line_config(), tmp_path, resume=True)
    runner.train()
    assert runner.iter == 16


def test_a_deadline_before_the_first_step_is_refused_and_leaves_no_checkpoint(line_config, runner_of, tmp_path):
    with pytest.raises(OutOfTimeError):
        runner_of(line_config(), tmp_path, deadline=0.0).train()
    assert not list_checkpoints(tmp_path)


def test_resuming_an_empty_work_folder_starts_afresh_and_says_so(line_config, runner_of, tmp_path):
    runner = runner_of(line_config(), tmp_path, resume=True)
    runner.train()
    assert runner.iter == 16
    assert "nothing to resume" in (tmp_path / "log.txt").read_text()


def test_a_fresh_run_puts_the_checkpoints_of_an_earlier_one_aside(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    runner_of(line_config(train_cfg__stages__1__max_steps=2), tmp_path).train()
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_00000008.pth"]
    assert [p.name for p in (tmp_path / "checkpoints_before_1").iterdir()] == ["step_00000016.pth"]


def test_going_back_to_an_earlier_checkpoint_does_not_lose_the_new_ones_to_the_old(line_config, runner_of, tmp_path):
    config = line_config(default_hooks__checkpoint=dict(steps=4, keep=2, minutes=None))
    runner_of(config, tmp_path).train()
    runner_of(config | dict(custom_hooks=[dict(type="SignalAt", step=13)]),
              tmp_path,
              resume=str(tmp_path / "checkpoints" / "step_00000012.pth")).train()
    assert list_checkpoints(tmp_path)[-1].name in ("step_00000013.pth", "step_00000014.pth")


@pytest.mark.parametrize("changes, message", [
    (dict(train_cfg=dict(stages=[dict(name="train", max_steps=3)])), r"train_cfg.stages\[0\].name: 'intercept' -> 'train'"),
    (dict(optim_wrapper=dict(_delete_=True, backbone=dict(optimizer=dict(type="Adam", lr=0.05)))),
     "optim_wrapper.backbone.optimizer.type: not set -> 'Adam'"),
])  # yapf: disable
def test_resuming_with_other_stages_or_optimisers_is_refused(changes, message, line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    with pytest.raises(ConfigError, match=message):
        runner_of(line_config(**changes), tmp_path, resume=True).train()


def test_load_from_takes_the_weights_only(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path / "a").train()
    weights = state(tmp_path / "a")["weights"]
    runner = runner_of(line_config(train_cfg__stages__0__max_epochs=0, train_cfg__stages__1__max_steps=0),
                       tmp_path / "b",
                       load_from=str(tmp_path / "a" / "checkpoints" / "step_00000016.pth"))
    runner.train()
    assert runner.iter == 0
    assert_same(weights, state(tmp_path / "b")["weights"])
