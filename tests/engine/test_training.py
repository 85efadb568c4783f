"""A run from its first step to its last: what stops it, and what it leaves."""

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from deep3dmap.engine.checkpoint import find_checkpoint, list_checkpoints, load_checkpoint
from deep3dmap.errors import ConfigError, DataError, TrainingError
from deep3dmap.frameworks.base import CustomFramework
from deep3dmap.registry import DATASETS, FRAMEWORKS, LOSSES


@pytest.fixture(scope="module", autouse=True)
def parts():
    """A loss that breaks at a step, a framework whose weights break before its loss, and one that logs no loss."""
    import line_fit

    @LOSSES.register_module(force=True)
    class Breaks(line_fit.SquaredError):
        """Not a number from a step of the stage on."""

        def __init__(self, step: int = 4):
            super().__init__()
            self.step = step

        def forward(self, outputs, inputs):
            return super().forward(outputs, inputs) * (float("nan") if self.progress.step >= self.step else 1.0)

    @FRAMEWORKS.register_module(force=True)
    class BreaksInside(line_fit.LineFit):
        """Its slope is not a number after a step of the run, though no loss has said so yet."""

        def train_step(self, data, optim_wrapper):
            log = super().train_step(data, optim_wrapper)
            if self.progress.step == 4:
                self.backbone.slope.data.fill_(float("inf"))
            return log

    @FRAMEWORKS.register_module(force=True)
    class Silent(CustomFramework):
        """Logs no loss."""

        def __init__(self):
            super().__init__()
            self.part = torch.nn.Linear(1, 1)

        def forward(self, inputs, mode="tensor"):
            return {}

        def train_step(self, data, optim_wrapper):
            return dict(psnr=torch.tensor(1.0))

    @DATASETS.register_module(force=True)
    class Forgetful(line_fit.LineBatches):
        """Has no heights."""

        def __init__(self):
            super().__init__()

        def batch(self, *args):
            return dict(position=super().batch(*args)["position"])


def test_a_missing_key_fails_before_the_first_step_and_names_key_framework_and_data(line_config, runner_of):
    runner = runner_of(line_config(train_dataloader=None, train_dataset=dict(type="Forgetful")))
    with pytest.raises(DataError, match=r"LineFit needs 'height' \(as 'y'.*'intercept' \(Forgetful\) has \['position'\]"):
        runner.train()
    assert runner.iter == 0


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_term_and_the_step(line_config, runner_of, tmp_path):
    config = line_config(model__losses__flat=dict(_delete_=True, type="Breaks"),
                         default_hooks__checkpoint=dict(steps=2, minutes=None))
    with pytest.raises(TrainingError, match="step 11, stage 'train': loss_flat is not finite.*last checkpoint is kept"):
        runner_of(config, tmp_path).train()
    newest = load_checkpoint(find_checkpoint(tmp_path))
    assert newest["loop"]["step"] == 10
    assert all(bool(torch.isfinite(v).all()) for v in newest["state_dict"].values())


def test_weights_that_are_no_numbers_are_not_saved(line_config, runner_of, tmp_path):
    config = line_config(model__type="BreaksInside", default_hooks__checkpoint=dict(steps=1, keep=1, minutes=None))
    with pytest.raises(TrainingError, match="step 5: the parameters backbone.slope are not finite"):
        runner_of(config, tmp_path).train()
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_00000004.pth"]


def test_a_step_that_logs_no_loss_is_named(line_config, runner_of):
    config = dict(line_config(), model=dict(type="Silent"), train_cfg=dict(max_steps=1))
    with pytest.raises(ConfigError, match="Silent.train_step.*'loss.*psnr"):
        runner_of(config).train()


def test_mixed_precision_trains_on_a_cpu(line_config, runner_of):
    config = line_config(train_cfg=dict(stages=[dict(name="train", max_steps=120)]))
    runner = runner_of(config, amp=True)
    runner.train()
    assert type(runner.optim_wrapper).__name__ == "AutocastOptimWrapper"
    assert runner.framework.backbone.slope.item() == pytest.approx(2.0, abs=0.15)
    assert runner.framework.backbone.intercept.item() == pytest.approx(-1.0, abs=0.15)


def test_a_work_folder_holds_config_log_scalars_curves_and_checkpoints(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    assert {p.name for p in tmp_path.iterdir()} == {"config.py", "log.txt", "scalars.jsonl", "vis_data", "checkpoints"}
    events = EventAccumulator(str(tmp_path / "vis_data")).Reload()
    assert [e.step for e in events.Scalars("loss")] == [2, 4, 6, 8, 10, 12, 14, 16]


def test_two_runs_in_one_process_do_not_write_into_each_other_s_folders(line_config, runner_of, tmp_path):
    runners = [runner_of(line_config(), tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    for runner in runners:
        runner.train()
    for name in "ab":
        assert len((tmp_path / name / "scalars.jsonl").read_text().splitlines()) == 8
        assert (tmp_path / name / "log.txt").read_text().count("step 10/10") == 1
        assert len(list((tmp_path / name / "vis_data").iterdir())) == 1


def test_the_buffers_that_setup_fills_are_those_of_the_data(line_config, runner_of):
    runner = runner_of(line_config())
    runner.train()
    assert runner.framework.span.tolist() == [-1.0, 1.0]
