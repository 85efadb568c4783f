"""What may change between a run and its resumption, and that what may does."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deep3dmap.engine.checkpoint import list_checkpoints
from deep3dmap.engine.resuming import check_same_files, resume_changes, same_views
from deep3dmap.errors import ConfigError

OLD = dict(
    model=dict(type="IDR",
               geometry=dict(type="SDFNetwork", width=64),
               renderer=dict(type="SphereTracer", samples=64, cache=dict(resolution=32)),
               losses=dict(mask=dict(type="MaskLoss", weight=100.0))),
    scene=dict(capture="photos", test_views=8),
    train_dataset=dict(type="RayBatches", rays=512),
    train_cfg=dict(max_minutes=5.0,
                   stages=[dict(name="fit", max_steps=9), dict(name="train"), dict(name="finish", max_steps=5)]),
    optim_wrapper=dict(optimizer=dict(type="Adam", lr=1e-3)),
    param_scheduler=dict(type="ProgressLR", decay=0.1),
)  # yapf: disable

#: Changes that are honoured, and that are not, while the second of the stages is trained.
HONOURED = {"model.losses.mask.weight": 50.0, "model.renderer.samples": 32, "train_dataset.rays": 256,
            "train_cfg.max_minutes": 9.0, "train_cfg.average": 0.9, "train_cfg.stages[1].max_steps": 7,
            "train_cfg.stages[2].params": ["*.bias"], "optim_wrapper.optimizer.lr": 1e-4,
            "optim_wrapper.optimizer.weight_decay": 0.1, "optim_wrapper.clip_grad.max_norm": 1.0,
            "param_scheduler.decay": 0.5, "test_cfg.resolution": 99, "default_hooks.log.interval": 3, "amp": True,
            "device": "cuda", "work_dir": "there", "train_dataloader.num_workers": 2}  # yapf: disable
REFUSED = {"seed": 7, "scene.capture": "others", "scene.test_views": 4, "scene.normalization": "hull", "scene.scale": 0.5,
           "model.type": "H3DNet", "model.geometry.width": 32, "model.renderer.cache.resolution": 64,
           "train_dataset.type": "HullDistances", "train_cfg.stages[0].max_steps": 8, "train_cfg.stages[1].params": ["*.bias"],
           "optim_wrapper.optimizer.type": "SGD", "param_scheduler.type": "MultiStepLR"}  # yapf: disable


def changed(config: dict, key: str, value) -> dict:
    """The config with another value under a dotted key."""
    head, _, rest = key.partition(".")
    name, _, index = head.partition("[")
    node = config.get(name, [] if index else {})
    if index:
        k = int(index[:-1])
        return config | {name: [*node[:k], changed(node[k], rest, value), *node[k + 1:]]}
    return config | {name: changed(node, rest, value) if rest else value}


@given(st.sets(st.sampled_from([*HONOURED, *REFUSED])))
def test_every_change_is_listed_once_as_honoured_or_refused_whatever_else_changes(keys):
    new = OLD
    for key in sorted(keys):
        new = changed(new, key, (HONOURED | REFUSED)[key])
    honoured, refused = resume_changes(OLD, new, stage=1)
    assert set(honoured) | set(refused) == keys and not set(honoured) & set(refused)
    with_the_schedule = {"param_scheduler.decay"} if "param_scheduler.type" in keys else set()  # mmengine's save theirs
    assert set(refused) == keys & (set(REFUSED) | with_the_schedule)


@pytest.mark.parametrize("key, default", [("seed", 0), ("amp", False), ("scene.scale", 1.0),
                                          ("train_cfg.type", "StagedTrainLoop"), ("train_cfg.stages[1].max_share", 1.0),
                                          ("model.renderer.chunk", None)])
def test_a_default_that_is_written_out_is_no_change(key, default):
    assert resume_changes(OLD, changed(OLD, key, default)) == ({}, {})


def test_a_tuple_is_no_other_value_than_a_list():
    assert resume_changes(changed(OLD, "seed", [1, 2]), changed(OLD, "seed", (1, 2))) == ({}, {})


def test_a_capture_may_lie_elsewhere_if_its_views_are_the_same():
    assert resume_changes(OLD, changed(OLD, "scene.capture", "moved/photos"), same_views=True)[1] == {}


def test_views_are_the_same_up_to_where_they_lie():
    info = dict(names=["a", "b"], K=torch.eye(3), landmarks=torch.tensor([float("nan")]), source="here")
    assert same_views(info, dict(info, source="there"))
    assert not same_views(info, dict(info, K=2 * torch.eye(3))) and not same_views(info, dict(info, names=["b", "a"]))


NOW = dict(names=["a", "b"], checksums=["1", "2"], source="here")


@pytest.mark.parametrize("then", [dict(checksums=["1", "3"]), dict(names=["a"], checksums=["1"]),
                                  dict(names=["a", "b", "c"], checksums=["1", "2", "3"])])  # yapf: disable
def test_views_whose_files_changed_came_or_went_are_refused_by_name(then):
    with pytest.raises(ConfigError, match="here.* run.pth .*of the views [bc]\\)"):
        check_same_files(NOW | then, NOW, "run.pth")


@pytest.mark.parametrize("then", [dict(names=["a", "b"]), NOW, dict(NOW, source="there")])
def test_the_same_files_elsewhere_and_checkpoints_of_former_versions_are_resumed(then):
    check_same_files(then, NOW, "run.pth")
    check_same_files(NOW, then, "run.pth")
    assert same_views(dict(then, source=""), NOW)


SGD = dict(type="SGD", lr=0.05)
STEP_BY_STEP = dict(default_hooks__checkpoint=dict(steps=1, keep=0, minutes=None), default_hooks__log=dict(interval=1))


def rates(folder) -> dict[int, float]:
    """Learning rates by step."""
    records = [json.loads(line) for line in (folder / "scalars.jsonl").read_text().splitlines()]
    return {record["step"]: record["lr"] for record in records}


@pytest.mark.parametrize("schedule", [
    None,
    dict(type="ProgressLR", decay=0.1, warmup=4),
    dict(type="MultiStepLR", by_epoch=False, milestones=[9, 12], gamma=0.5)
])
def test_another_learning_rate_holds_from_the_first_resumed_step_and_its_schedule_goes_on(
        schedule, line_config, runner_of, tmp_path):
    config = line_config(optim_wrapper=dict(_delete_=True, optimizer=SGD), param_scheduler=schedule, **STEP_BY_STEP)
    runner_of(config, tmp_path / "a").train()
    faster = config | dict(optim_wrapper=dict(optimizer=dict(SGD, lr=0.15)))
    runner_of(faster, tmp_path / "b", resume=str(tmp_path / "a" / "checkpoints" / "step_00000010.pth")).train()
    before, after = rates(tmp_path / "a"), rates(tmp_path / "b")
    assert set(after) == set(range(11, 17))
    assert all(rate == pytest.approx(3 * before[step]) for step, rate in after.items())
    assert "lr: 0.05 -> 0.15" in (tmp_path / "b" / "log.txt").read_text()


def test_another_weight_decay_is_honoured(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    resumed = runner_of(line_config(optim_wrapper__optimizer__weight_decay=0.5, train_cfg__stages__1__max_steps=12), tmp_path,
                        resume=True)  # yapf: disable
    resumed.train()
    assert [group["weight_decay"] for group in resumed.optim_wrapper.param_groups] == [0.5]


def test_a_run_that_is_resumed_as_it_was_lists_nothing(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    runner_of(line_config(), tmp_path, resume=True).train()
    assert "settings are changed" not in (tmp_path / "log.txt").read_text()


def test_what_cannot_be_honoured_is_refused_by_key_and_values_and_not_recorded(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    record, newest = (tmp_path / "config.py").read_bytes(), list_checkpoints(tmp_path)[-1].read_bytes()
    with pytest.raises(ConfigError, match="seed: 0 -> 7"):
        runner_of(line_config(), tmp_path, resume=True, seed=7).train()
    assert (tmp_path / "config.py").read_bytes() == record and list_checkpoints(tmp_path)[-1].read_bytes() == newest


def test_the_record_of_a_resumed_run_is_what_ran(line_config, runner_of, tmp_path):
    runner_of(line_config(), tmp_path).train()
    runner_of(line_config(optim_wrapper__optimizer__lr=0.01), tmp_path, resume=True).train()
    assert "lr=0.01" in (tmp_path / "config.py").read_text()
