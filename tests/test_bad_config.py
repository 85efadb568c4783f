"""Wrong configs given to `deep3dmap train`: one message with the place in the config, and no work folder."""

import json
import sys
from pathlib import Path

import pytest
import torch

from deep3dmap.registry import HOOKS
from tests.apis import conftest as tiny
from tests.broken import contents, refusal, run

head_file, capture_folder, config_file, work_dir = (tiny.head_file, tiny.capture_folder, tiny.config_file, tiny.work_dir)

#: What is written into a config (``--cfg-options``), and what the message says of it.
WRONG = {
    # names
    "modle={}": "unknown top-level key 'modle': did you mean 'model'",
    "model.geometri.width=3": "model: unknown key 'geometri' for IDR: did you mean 'geometry'",
    "model.geometry.widht=3": "model.geometry: unknown key 'widht' for SDFNetwork: did you mean 'width'",
    "model.renderer.type=SphereTrace": "model.renderer: type='SphereTrace' is not in the registry 'renderer'",
    "train_cfg.max_step=3": "train_cfg: unknown key 'max_step' for StagedTrainLoop: did you mean 'max_steps'",
    "optim_wrapper.optimizer.lrr=3": "optim_wrapper.optimizer: unknown key 'lrr' for Adam: did you mean 'lr'",
    "optim_wrapper.clip_grad={'max_nrm': 3}":
    "optim_wrapper.clip_grad: unknown key 'max_nrm' for clip_grad_norm_: did you mean",
    # kinds of values
    "model=3": "model=3: expected a dictionary",
    "model.geometry.width='wide'": "model.geometry.width='wide': expected an integer of at least 1",
    "model.geometry.width=[3]": "width=[3] must be a number or have depth=2 entries",
    "model.geometry.width=None": "model.geometry.width=None: expected an integer",
    "model.geometry.bias=nan": "model.geometry.bias='nan': expected a number",
    "model.radiance.weight_norm='no'": "model.radiance.weight_norm='no': expected True or False",
    "model.losses.rgb=3": "model.losses.rgb=3: expected a dictionary",
    "model.losses.mask.alpha=None": "model.losses.mask.alpha=None: expected a number or a list of numbers or a dictionary",
    "model.input_keys='rgb'": "model.input_keys='rgb': expected a list of strings",
    "train_dataset.rays=1e3": "train_dataset.rays=1000.0: expected an integer of at least 1 (write 1000)",
    "scene.capture=3": "scene.capture=3: expected a dictionary or a string",
    "scene.normalization=5": "scene.normalization=5: expected a string or a list",
    "scene.test_views=[3]": "scene.test_views[0]=3: expected a string",
    "train_cfg.stages=3": "train_cfg.stages=3: expected a list of dictionaries",
    "train_cfg.stages=[dict()]": "train_cfg.stages='[dict()]': expected a list of dictionaries",
    "train_cfg.stages=[{'max_steps': '3'}]": "train_cfg.stages[0].max_steps='3': expected an integer",
    "optim_wrapper.optimizer=3": "optim_wrapper.optimizer=3: expected a dictionary with a 'type'",
    "optim_wrapper.optimizer.lr='fast'": "optim_wrapper.optimizer.lr='fast': expected a number",
    "optim_wrapper.optimizer.betas=3": "optim_wrapper.optimizer.betas=3: expected a list of 2 entries",
    "optim_wrapper.clip_grad=3": "optim_wrapper.clip_grad=3: expected a dictionary, such as dict(max_norm=1.0)",
    "param_scheduler=3": "param_scheduler=3: expected a dictionary or a list",
    "default_hooks.checkpoint.at_minutes=['a']": "default_hooks.checkpoint.at_minutes[0]='a': expected a number",
    "custom_hooks=[3]": "custom_hooks[0]=3: expected a dictionary with a 'type'",
    "test_evaluator=[3]": "test_evaluator[0]=3: expected a dictionary with a 'type'",
    "test_evaluator={'type': 'ViewMetrics'}":
    "'test_evaluator' is a list: give a list, or change an entry by test_evaluator.0",
    "amp='yes'": "amp='yes': expected True or False",
    "device=3": "device=3: expected a string",
    "custom_imports=3": "custom_imports=3: expected dict(imports=['MODULE', ...])",
    # ranges
    "model.geometry.width=-5": "model.geometry.width=-5: expected an integer of at least 1",
    "model.geometry.frequencies=-1": "model.geometry.frequencies=-1: expected an integer of at least 0",
    "model.renderer.samples=-3": "samples=-3",
    "model.eikonal_samples=-1": "model.eikonal_samples=-1: expected a number of at least 0",
    "model.background=7": "model.background=7: expected a number of at least 0 and at most 1",
    "test_dataset.split='tst'": "Views: split='tst' must be one of train, test, all",
    "scene.scale=1e-9": "scene.scale=1e-09: ",
    "scene.scale=0": "scene.scale=0: must be a number above 0 and at most 1",
    "scene.normalization=[[1,1,1],[0,0,0]]": "give its lower corner first",
    "train_cfg.max_steps=-1": "train_cfg.max_steps=-1: expected an integer of at least 0",
    "optim_wrapper.optimizer.lr=-1": "optim_wrapper can't be built from lr=-1: ValueError: Invalid learning rate: -1",
    "param_scheduler.decay=-1": "param_scheduler.decay=-1: expected a number above 0",
    "default_hooks.checkpoint.steps=0": "default_hooks.checkpoint.steps=0: expected an integer of at least 1",
    "test_cfg.scale=0": "test_cfg.scale=0: expected a number above 0 and at most 1",
    # what doesn't go together
    "train_cfg.max_steps=None": "stage 'train' has no budget",
    "optim_wrapper=None": "training needs train_cfg, optim_wrapper and train_dataset",
    "train_dataset=None": "training needs either train_dataset (whole batches) or train_dataloader, not neither",
    "model.geometry.features=5": "geometry gives 5 features but radiance takes 8",
    "param_scheduler={'type': 'MultiStepLR', '_delete_': True}": "missing 1 required positional argument: 'milestones'",
    "model.input_keys=['nope']": "IDR needs 'nope'",
    "scene.test_views='nope'": "no view 'nope' to hold out",
    "resume='nowhere'": "nowhere: no such file or folder",
    "load_from='nowhere'": "nowhere: no such checkpoint",
    "device='gpu'": "--device gpu can't be used here",
}


@pytest.mark.parametrize("option", WRONG)
def test_a_wrong_config_is_refused_with_its_place_and_nothing_is_written(option, config_file, tmp_path, capsys):
    message = refusal(capsys, "train", config_file, "--work-dir", tmp_path / "out", "--cfg-options", option)
    assert WRONG[option] in message and message.startswith(("ConfigError: ", "DataError: ", "CheckpointError: "))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option",
                         ["model.renderer.samples='many'", "optim_wrapper.optimizer.lr=-1", "model.input_keys=['no']"])
def test_a_wrong_config_leaves_a_work_folder_as_it_was(option, config_file, work_dir, capsys):
    before = contents(work_dir)
    refusal(capsys, "train", config_file, "--work-dir", work_dir, "--cfg-options", option)
    assert contents(work_dir) == before


@pytest.fixture
def written(config_file, tmp_path):
    """Writes a config on top of the tiny one."""

    def write(text: str, name: str = "mine.py") -> Path:
        (tmp_path / name).write_text(f'_base_ = ["{config_file}"]\ndefault_hooks = dict(pictures=None)\n{text}\n')
        return tmp_path / name

    return write


def last_step(folder: Path) -> int:
    return max(int(p.stem[5:]) for p in (folder / "checkpoints").glob("step_*.pth"))


def test_the_work_folder_of_a_config_is_used_unless_the_command_line_names_one(written, tmp_path):
    config = written(f'work_dir = "{tmp_path / "mine"}"\ntrain_cfg = dict(max_steps=1)')
    assert run("train", config) == 0 and last_step(tmp_path / "mine") == 1
    assert run("train", config, "--work-dir", tmp_path / "other") == 0 and last_step(tmp_path / "other") == 1


def test_a_config_may_ask_to_resume(written, tmp_path):
    config = written("resume = True\ntrain_cfg = dict(max_steps=1)")
    assert run("train", config, "--work-dir", tmp_path / "out") == 0
    first = sorted((tmp_path / "out" / "checkpoints").iterdir())[0]
    assert run("train", config, "--work-dir", tmp_path / "out", "--cfg-options", "train_cfg.max_steps=2") == 0
    assert last_step(tmp_path / "out") == 2
    before, after = (torch.load(p, weights_only=True)["loop"]["step"] for p in (first, max(
        (tmp_path / "out" / "checkpoints").iterdir())))  # yapf: disable
    assert (before, after) == (1, 2) and not (tmp_path / "out" / "checkpoints_before_1").exists()


HOOK = """
from pathlib import Path
from mmengine.hooks import Hook
from {helper} import WORD
from deep3dmap.registry import HOOKS


@HOOKS.register_module()
class {name}(Hook):
    def before_train(self, runner):
        (Path(runner.work_dir) / "said.txt").write_text(WORD)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module with a hook, and one that it imports, beside the config; forgets them afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(HOOKS, "_module_dict", dict(HOOKS.module_dict))
    names = ["hook_beside_config", "helper_beside_config"]
    (tmp_path / f"{names[0]}.py").write_text(HOOK.format(helper=names[1], name="HookBesideConfig"))
    (tmp_path / f"{names[1]}.py").write_text("WORD = 'hello'\n")
    yield names[0]
    for name in names:
        sys.modules.pop(name, None)


def test_a_module_beside_the_config_is_imported_with_its_neighbours(module, written, tmp_path):
    config = written(f'custom_imports = dict(imports=["{module}"])\ncustom_hooks = [dict(type="HookBesideConfig")]\n'
                     "train_cfg = dict(max_steps=1)")
    assert run("train", config, "--work-dir", tmp_path / "out") == 0
    assert (tmp_path / "out" / "said.txt").read_text() == "hello"


@pytest.mark.parametrize("imports, words", [
    ("['no_such_module_anywhere']", "'no_such_module_anywhere' can't be imported (looked on Python's path and in"),
    ("['broken_module']", "'broken_module' can't be imported (looked on Python's path and in"),
    ("['json']", "rename yours"),
    ("'json.decoder'", "rename yours"),
    ("[3]", "expected dict(imports=['MODULE', ...])"),
])  # yapf: disable
def test_a_module_that_is_not_to_be_had_is_named(imports, words, module, written, tmp_path, capsys):
    (tmp_path / "broken_module.py").write_text("1 / 0")
    (tmp_path / "json.py").write_text("")
    config = written(f"custom_imports = dict(imports={imports})")
    message = refusal(capsys, "train", config, "--work-dir", tmp_path / "out")
    assert str(config) in message and words in message and not (tmp_path / "out").exists()
    assert sys.modules["json"] is json
