"""What an unknown name or key is told, what no name can reach, and plug-ins by entry point."""

import builtins
import importlib
import os
import runpy
import shutil
import subprocess
import sys
from contextlib import suppress

import mmengine.model
import mmengine.registry as root
import pytest
import torch
from hypothesis import example, given, settings, strategies
from torch import nn

from deep3dmap.errors import ConfigError, PluginError
from deep3dmap.registry import (
    ALL,
    BACKBONES,
    HOOKS,
    LOSSES,
    Registry,
    accepted_keys,
    build_part,
    known_parts,
    load_plugins,
    nearest,
    resolve,
)


class Plain:

    def __init__(self, width: int, depth: int = 2):
        self.width, self.depth = width, depth


class Wide(Plain):

    def __init__(self, bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.bias = bias


class NoConstructor(nn.Module):
    pass


@pytest.fixture
def parts() -> Registry:
    """A registry with a few parts."""
    registry = Registry("toy", build_func=build_part, scope="deep3dmap")
    for part in (Plain, Wide, NoConstructor):
        registry.register_module(module=part)
    return registry


def test_a_part_is_built_with_its_keys_and_the_defaults_that_it_leaves_out(parts):
    part = parts.build(dict(type="Plain", width=3), default_args=dict(width=9, depth=5))
    assert (part.width, part.depth) == (3, 5)


@pytest.mark.parametrize("name, near", [("SDFNetwrok", "SDFNetwork"), ("sdfnetwork", "SDFNetwork")])
def test_an_unknown_type_names_the_registry_and_the_nearest_known_names(name, near):
    with pytest.raises(ConfigError, match=f"type='{name}' is not in the registry 'backbone': did you mean '{near}'"):
        BACKBONES.build(dict(type=name))


@pytest.mark.parametrize("call, message", [
    (lambda parts: parts.build(dict(type="Xyz")), "known are: NoConstructor, Plain, Wide"),
    (lambda parts: parts.build(dict(type="Plain", widht=3)), "unknown key 'widht' for Plain: did you mean 'width'"),
    (lambda parts: parts.build(dict(type="Plain")), "Plain needs the key 'width'"),
    (lambda parts: parts.build(dict(type="NoConstructor", width=3)), "unknown key 'width' for NoConstructor"),
])  # yapf: disable
def test_unknown_and_missing_keys_are_named_with_the_nearest_known_ones(call, message, parts):
    with pytest.raises(ConfigError, match=message):
        call(parts)


def test_keys_that_a_constructor_hands_on_to_its_base_are_known(parts):
    assert accepted_keys(Wide) == {"bias", "width", "depth"}
    with pytest.raises(ConfigError, match="unknown key 'dept' for Wide: did you mean 'depth'"):
        parts.build(dict(type="Wide", width=3, dept=1))


@pytest.mark.parametrize("cfg", [None, 1.0, "Plain", dict(width=3)])
def test_what_is_no_part_is_told_what_one_is(parts, cfg):
    with pytest.raises(ConfigError, match="a part of the registry 'toy' is a dictionary with a 'type'"):
        build_part(cfg, parts)


def test_a_class_may_stand_in_place_of_its_name(parts):
    assert parts.build(dict(type=Plain, width=3)).width == 3
    assert resolve(parts, Plain) is Plain


def test_every_registry_finds_the_package_s_own_parts():
    names = {registry.name: set(known_parts(registry)) for registry in ALL}
    assert "IDR" in names["framework"] and "SDFNetwork" in names["backbone"] and "SphereTracer" in names["renderer"]
    assert "MaskLoss" in names["loss"] and "RayBatches" in names["dataset"] and "LogHook" in names["hook"]
    assert "ReconstructionRunner" in names["runner"] and "StagedTrainLoop" in names["loop"] and names["metric"]


#: Every registry that a config or checkpoint can reach.
REGISTRIES = [*ALL, *(each for each in vars(root).values() if isinstance(each, Registry))]

#: Importable functions and classes by their dotted paths, as an attacker would name them.
DOTTED = [f"{module.__name__}.{name}" for module in (builtins, importlib, os, runpy, shutil, subprocess, torch, mmengine.model)
          for name in vars(module)]  # yapf: disable


@given(name=strategies.sampled_from(DOTTED) | strategies.text(), scope=strategies.sampled_from(["", "os.", "mmengine.", "x."]))
@example(name="os.system", scope="")
@settings(deadline=None)
def test_no_string_but_a_registered_name_ever_resolves(name, scope):
    imported = set(sys.modules)
    for registry in REGISTRIES:
        found = registry.get(scope + name)
        assert found is None or found in known_parts(registry).values()
        assert found is None or name.rpartition(".")[2] in known_parts(registry)
    assert set(sys.modules) == imported


@pytest.mark.parametrize("scope", ["canary", "canary.registry"])
@pytest.mark.parametrize("registry", [root.OPTIMIZERS, root.PARAM_SCHEDULERS, root.DATA_SAMPLERS, root.HOOKS, root.MODELS])
def test_a_scope_imports_no_module(registry, scope, canary):
    with suppress(KeyError, TypeError, ImportError):
        registry.build(dict(type="canary.sing", _scope_=scope, by_epoch=True))
    assert not canary.exists()


def test_a_scope_before_a_name_means_the_registry_of_that_scope():
    assert root.OPTIMIZERS.get("mmengine.SGD") is torch.optim.SGD
    assert HOOKS.get("mmengine.CheckpointHook") is not HOOKS.get("deep3dmap.CheckpointHook") is HOOKS.get("CheckpointHook")


def test_the_nearest_name_does_not_mind_capitals_and_a_long_list_is_cut():
    assert nearest("maskloss", ["MaskLoss", "ColorLoss"]) == "did you mean 'MaskLoss'?"
    assert nearest("x", []) == "known are: none"
    sentence = nearest("x", [f"name_{k:04d}" for k in range(3000)])
    assert sentence.endswith("(3000 in all)") and len(sentence) < 1000


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Makes an installed distribution with a plug-in of a given source."""

    def make(name: str, source: str, entry: str | None = None):
        (tmp_path / f"{name}.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-distribution\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[deep3dmap.plugins]\n{name}_plugin = {entry or name}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return make


def test_an_installed_plug_in_is_imported_by_its_entry_point(distribution, monkeypatch):
    monkeypatch.setattr(LOSSES, "_module_dict", dict(LOSSES.module_dict))
    distribution("toy_plugin_one", "from deep3dmap.registry import LOSSES\n"
                 "@LOSSES.register_module()\nclass ToyPluginLoss:\n    pass\n")  # yapf: disable
    assert "toy_plugin_one_plugin" in load_plugins()
    assert LOSSES.get("ToyPluginLoss") is not None


def test_a_broken_plug_in_is_named_with_its_distribution_and_traceback(distribution):
    distribution("toy_plugin_two", "def inner():\n    raise ZeroDivisionError('ouch')\n\ninner()\n")
    with pytest.raises(PluginError) as caught:
        load_plugins()
    text = str(caught.value)
    assert "'toy_plugin_two_plugin'" in text and "toy_plugin_two-distribution" in text
    assert "in inner" in text and "ZeroDivisionError: ouch" in text and "uninstall" in text


def test_a_plug_in_that_registers_a_name_twice_is_broken(distribution):
    distribution("toy_plugin_three", "from deep3dmap.registry import LOSSES\n"
                 "@LOSSES.register_module()\nclass ColorLoss:\n    pass\n")  # yapf: disable
    LOSSES.import_from_location()
    with pytest.raises(PluginError, match="(?s)toy_plugin_three.*ColorLoss is already registered"):
        load_plugins()
