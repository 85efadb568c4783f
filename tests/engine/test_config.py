"""Configs: what is wrong in one is named, with its place, before anything heavy starts."""

import json

import pytest
import yaml
from mmengine.config import Config

from deep3dmap.engine.config import build_runner, load_config
from deep3dmap.engine.config_check import check_config
from deep3dmap.engine.runner import ReconstructionRunner, complete_hooks
from deep3dmap.errors import ConfigError, Deep3DError

CONFIG = """
custom_imports = dict(imports=["line_fit"])
_rate = 0.05
model = dict(type="LineFit", backbone=dict(type="Line"), losses=dict(fit=dict(type="SquaredError")))
train_dataset = dict(type="LineBatches")
train_cfg = dict(stages=[dict(name="train", max_steps=3)])
optim_wrapper = dict(optimizer=dict(type="Adam", lr=_rate))
"""


@pytest.fixture
def written(tmp_path):
    """Writes a config file."""

    def write(text: str = CONFIG, name: str = "config.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


WRONG = {
    "a key at the top": (dict(optim_wraper={}), r"unknown .*key 'optim_wraper': did you mean 'optim_wrapper'"),
    "a key of the loop": (dict(train_cfg=dict(max_step=3)), r"train_cfg: unknown key 'max_step'.*did you mean 'max_steps'"),
    "a key of a stage": (dict(train_cfg=dict(stages=[dict(name="train", max_step=3)])),
                         r"stages: unknown key 'max_step' for StageConfig: did you mean 'max_steps'"),
    "a stage that is a word": (dict(train_cfg=dict(stages=["train"])), r"a stage is a dictionary, .*got 'train'"),
    "a budget that is a word": (dict(train_cfg=dict(stages=[dict(max_steps="3")])),
                                r"stages\[0\]\.max_steps='3': expected an integer"),
    "a key of the scene": (dict(scene=dict(capture="x", test_viewz=2)), r"scene: unknown key 'test_viewz'.*'test_views'"),
    "a key of a dataset's own scene": (dict(test_dataset=dict(type="Views", scene=dict(captur="x"))),
                                       r"test_dataset\.scene: unknown key 'captur'.*'capture'"),
    "a type of the scene's capture": (dict(scene=dict(capture=dict(type="SyntheticCaptur"))),
                                      r"scene\.capture: type='SyntheticCaptur' is not in the registry 'dataset'"),
    "a key of the model": ({"model.backbon": {}}, r"model: unknown key 'backbon' for LineFit: did you mean 'backbone'"),
    "a key of a nested part": ({"model.backbone.nois": 1}, r"model\.backbone: unknown key 'nois' for Line.*'noise'"),
    "a type of a nested part": ({"model.backbone.type": "Lime"}, r"model\.backbone: type='Lime' is not in the registry "
                                "'backbone': did you mean 'Line'"),
    "a type of a loss": ({"model.losses.fit.type": "SquareError"}, r"model\.losses\.fit: type='SquareError' is not in the "
                         "registry 'loss': did you mean 'SquaredError'"),
    "a type of the optimiser": ({"optim_wrapper.optimizer.type": "Adan"}, r"optim_wrapper\.optimizer: type='Adan' is not in "
                                "the registry 'optimizer': did you mean 'Adam'"),
    "a key of the optimiser": ({"optim_wrapper.optimizer.learning": 1}, r"optim_wrapper\.optimizer: unknown key 'learning'"),
    "a key beside the optimiser": ({"optim_wrapper.clip_grd": {}}, r"optim_wrapper: unknown key 'clip_grd'.*'clip_grad'"),
    "a misspelt optimizer": (dict(optim_wrapper=dict(_delete_=True, optimiser=dict(type="Adam"))),
                             r"optim_wrapper\.optimiser: unknown key.*expected dict\(optimizer="),
    "an optimiser of a stage": ({"train_cfg.stages.0.optim_wrapper": dict(optimizer=dict(type="Adan"))},
                                r"train_cfg\.stages\[0\]\.optim_wrapper\.optimizer: type='Adan'"),
    "a type of a schedule": (dict(param_scheduler=[dict(type="MultiStepLr")]), r"param_scheduler\[0\]: type='MultiStepLr'"),
    "a key of a schedule": (dict(param_scheduler=dict(type="ProgressLR", decai=1)), r"param_scheduler: unknown key 'decai'"),
    "a type of a dataset": ({"train_dataset.type": "LineBatch"}, r"train_dataset: type='LineBatch'.*'LineBatches'"),
    "a key of a dataloader": (dict(train_dataset=None, train_dataloader=dict(dataset=dict(type="NoisyLine"), batchsize=3)),
                              r"train_dataloader: unknown key 'batchsize'.*'batch_size'"),
    "a dataloader without data": (dict(train_dataset=None, train_dataloader=dict(batch_size=3)), "has no 'dataset'"),
    "both sources of data": (dict(train_dataloader=dict(dataset=dict(type="NoisyLine"))), "can't both be given"),
    "a key of a default hook": ({"default_hooks.log.intervall": 3}, r"default_hooks\.log: unknown key 'intervall'.*interval"),
    "a type of a hook": (dict(custom_hooks=[dict(type="PictureHok")]), r"custom_hooks\[0\]: type='PictureHok'.*'PictureHook'"),
    "a type of a metric": (dict(test_evaluator=[dict(type="Nothing")]), r"test_evaluator\[0\].*registry 'metric'"),
    "a key of the test loop": (dict(test_cfg=dict(resolutoin=3)), r"test_cfg: unknown key 'resolutoin'.*'resolution'"),
}  # yapf: disable


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_what_is_unknown_is_named_with_its_place(changes, message, written):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(written(), changes)
    assert "config.py" in str(caught.value) or "stages:" in str(caught.value)


def test_a_config_is_checked_before_any_data_are_read(written, monkeypatch, line_module):
    monkeypatch.setattr(line_module.NoisyLine, "__init__", lambda *a, **k: pytest.fail("the data were read"))
    with pytest.raises(ConfigError):
        load_config(written(), {"model.backbone.nois": 1})


def test_a_config_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="has no 'model'; did you mean 'modle'"):
        check_config(dict(modle=dict(type="IDR")))


def test_names_below_hooks_losses_and_parts_are_free(line_config):
    config = line_config(custom_hooks=[dict(type="PictureHook", priority="LOW")])
    config["default_hooks"]["optimizer"] = dict(type="PictureHook")
    config["model"]["losses"] = dict(model=dict(type="SquaredError"), optimizer=dict(type="SmallSlope"))
    config["optim_wrapper"] = dict(geometry=dict(type="OptimWrapper", optimizer=dict(type="Adam")))
    config["param_scheduler"] = dict(geometry=[dict(type="ProgressLR", decay=0.1)])
    check_config(config)


def test_names_with_an_underscore_are_private_variables(written):
    cfg = load_config(written())
    assert "_rate" not in cfg and cfg.optim_wrapper.optimizer.lr == 0.05


def test_options_replace_values_by_dotted_keys_also_in_lists(written):
    cfg = load_config(written(), {"optim_wrapper.optimizer.lr": 0.5, "train_cfg.stages.0.max_steps": 7, "seed": 4})
    assert cfg.optim_wrapper.optimizer.lr == 0.5 and cfg.train_cfg.stages[0].max_steps == 7 and cfg.seed == 4
    options = {"train_cfg.stages": [dict(name="train", max_steps=3)], "train_cfg.stages.0.max_steps": 7}
    assert load_config(written(), options).train_cfg.stages[0].max_steps == 7
    with pytest.raises(ConfigError, match="train_cfg.stages.5.max_steps"):
        load_config(written(), {"train_cfg.stages.5.max_steps": 7})


def test_a_child_config_states_only_its_differences(written):
    written()
    child = written("_base_ = ['config.py']\noptim_wrapper = dict(optimizer=dict(lr=1.0))\n", "child.py")
    cfg = load_config(child)
    assert cfg.optim_wrapper.optimizer.lr == 1.0 and cfg.optim_wrapper.optimizer.type == "Adam"


@pytest.mark.parametrize("text, message", [
    ("model = dict(", "SyntaxError|syntax"),
    ("model = 1 / 0", "ZeroDivisionError: division by zero"),
    ("_base_ = ['nowhere.py']", "nowhere.py"),
    ("custom_imports = dict(imports=['not_installed_anywhere'])\nmodel = {}", "not_installed_anywhere"),
])  # yapf: disable
def test_a_broken_config_says_what_broke(text, message, written):
    with pytest.raises(ConfigError, match=f"(?s)config.py: can't be read: .*({message})"):
        load_config(written(text))


DATA = dict(model=dict(type="LineFit", losses={}), seed=3)


@pytest.mark.parametrize("name, dump", [("config.json", json.dumps), ("config.yaml", yaml.safe_dump), ("config.yml", repr)])
def test_a_config_may_be_plain_data(name, dump, written):
    written()  # registers LineFit
    assert load_config(written(dump(DATA), name), {"seed": 4}).to_dict() == DATA | dict(seed=4)


@pytest.mark.parametrize("name, text", [
    ("config.yaml", "model: !!python/object/apply:canary.sing []"),
    ("config.yml", "!!python/module:canary"),
    ("config.json", '{"model": {"type": "canary.sing"}}'),
    ("config.json", '{"model": {"type": "LineFit"}, "custom_hooks": [{"type": "canary.sing"}]}'),
    ("config.json", '{"model": {"type": "LineFit"}, "custom_imports": {"imports": ["canary"]}}'),
    ("config.json", '{"model": {"type": "LineFit"}, "runner_type": "canary.sing"}'),
    ("config.json", '{"model": {"type": "LineFit"}, "train_dataloader": {"dataset": {"type": "canary.sing"}}}'),
    ("config.json", '{"model": {"type": "LineFit", "_scope_": "canary"}}'),
    ("config.json", json.dumps(DATA | {"experiment": {"note': __import__('canary'), 'x": 1}})),
    ("config.json", json.dumps(DATA | {"compile": {"options": {"cpp.cxx": ["canary.sing"]}}})),
    ("config.yaml", "a: &a [1, 2]\nb: [*a, *a]"),
    ("config.json", '{"_base_": "evil.py"}'),
    ("config.txt", "import canary"),
    ("config", "import canary"),
    ("config.pkl", "ccanary\nsing\n(tR."),
])  # yapf: disable
def test_data_can_not_run_anything(name, text, written, canary, tmp_path):
    written("import canary", "evil.py")
    with pytest.raises(Deep3DError, match=f"{name}|canary.sing"):
        build_runner(load_config(written(text, name)), work_dir=str(tmp_path / "work"))
    assert not canary.exists()


def test_a_missing_config_names_the_nearest_file(written):
    path = written()
    with pytest.raises(ConfigError, match="no such config; did you mean '.*config.py'"):
        load_config(path.with_name("confg.py"))


@pytest.mark.parametrize("asked,nearest", [("smal.py", "configs/idr/small.py"), ("idr/your_on.py", "configs/idr/your_own.py"),
                                           ("dtu_fixed_camera.py", "configs/idr/dtu_fixed_cameras.py")])
def test_a_missing_config_names_the_nearest_of_the_package(asked, nearest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"no such config; did you mean '{nearest}'"):
        load_config(asked)


def test_a_config_of_the_package_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/idr/synthetic_head.py").model.type == "IDR"
    assert load_config("idr/synthetic_head.py").model.type == "IDR"


def test_the_config_in_the_work_folder_is_that_of_the_run_and_can_be_read_again(line_config, runner_of, tmp_path):
    config = line_config(custom_imports=dict(imports=["line_fit"]))
    runner_of(config, tmp_path, seed=5, amp=True)
    assert load_config(tmp_path / "config.py").to_dict() == Config(config | dict(seed=5, amp=True)).to_dict()
    assert "seed" not in config  # the given one stays as it was


def test_a_default_hook_may_be_changed_without_its_type_replaced_or_taken_out():
    hooks = complete_hooks(dict(log=dict(interval=3)))
    assert hooks["log"] == dict(type="LogHook", interval=3) and hooks["checkpoint"]["type"] == "CheckpointHook"
    assert complete_hooks(dict(log=dict(type="PictureHook")))["log"] == dict(type="PictureHook")
    assert complete_hooks(dict(log=None))["log"] is None


@pytest.mark.parametrize("device, message", [("gpu9", "--device gpu9 can't be used here"), ("cuda:77", "cuda:77")])
def test_an_unknown_device_is_refused(device, message, line_config, tmp_path):
    with pytest.raises(ConfigError, match=message):
        ReconstructionRunner(line_config()["model"], str(tmp_path), device=device)


@pytest.mark.parametrize("call, message", [
    (lambda line_config, runner_of: runner_of(line_config(), seed=-1), "seed=-1"),
    (lambda line_config, runner_of: runner_of(line_config(runner_type="ReconstructionRuner")),
     "runner_type='ReconstructionRuner'.*'ReconstructionRunner'"),
])  # yapf: disable
def test_arguments_and_configs_that_make_no_run_are_refused(call, message, line_config, runner_of):
    with pytest.raises(ConfigError, match=message):
        call(line_config, runner_of)
