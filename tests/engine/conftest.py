"""A line that is fitted: the smallest thing that a runner can train."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "line_fit"))

import line_fit

from deep3dmap.engine.config import build_runner
from deep3dmap.engine.config_check import check_config


def merge(base: dict, changes: dict) -> dict:
    """Changes by dotted key: ``{'train_cfg.stages.0.max_steps': 3}``."""
    cfg = Config(copy.deepcopy(base))
    cfg.merge_from_dict(copy.deepcopy(changes))
    return cfg.to_dict()


@pytest.fixture
def line_config():
    """Makes the config: an epoch of 3 steps; stage 1 of 2 epochs, stage 2 of 10 steps; noise in the items and in the model."""
    base = dict(
        model=dict(type="LineFit",
                   backbone=dict(type="Line", noise=0.05),
                   losses=dict(fit=dict(type="SquaredError"), flat=dict(type="SmallSlope", weight=[1e-3, 1e-4])),
                   input_keys=dict(x="position", y="height")),
        train_dataloader=dict(dataset=dict(type="NoisyLine"), batch_size=8),
        train_cfg=dict(stages=[
            dict(name="intercept", max_epochs=2, params=["*.intercept"], losses=["fit"]),
            dict(name="train", max_steps=10),
        ]),
        optim_wrapper=dict(optimizer=dict(type="Adam", lr=0.05)),
        default_hooks=dict(log=dict(interval=2), checkpoint=dict(minutes=None)),
    )
    return lambda **changes: merge(base, {key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture
def runner_of(tmp_path, monkeypatch):
    """Checks a config and makes its runner, on one thread of the CPU, in a folder of its own."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def make(config: dict, work_dir: Path | None = None, **arguments):
        check_config(config)
        return build_runner(Config(config), work_dir=str(work_dir or tmp_path / "work"), device="cpu", **arguments)

    yield make
    torch.set_num_threads(threads)


@pytest.fixture
def line_module():
    """The plug-in's module."""
    return line_fit
