"""Weights of parts from files that a config names."""

import pytest
import torch
from torch import nn

from deep3dmap.engine.part_weights import load_part_weights
from deep3dmap.errors import CheckpointError, ConfigError
from deep3dmap.io import packages
from deep3dmap.registry import BACKBONES


@BACKBONES.register_module()
class Weighted(nn.Module):
    """Takes weights of its own."""

    def __init__(self, weights: dict | None = None):
        super().__init__()
        self.weights = weights


class Pair(nn.Module):
    """Two lines in a list, one that stands alone, and a part with weights of its own."""

    def __init__(self):
        super().__init__()
        line = BACKBONES.get("Line")
        self.lines, self.single, self.own = nn.ModuleList([line(), line()]), line(), Weighted()


@pytest.fixture
def file(tmp_path):
    """A checkpoint of a line called ``old``, beside another weight."""
    path = tmp_path / "weights.pth"
    weights = {"old.slope": torch.tensor([2.0]), "old.intercept": torch.tensor([3.0]), "other": torch.zeros(1)}
    torch.save(dict(state_dict=weights), path)
    return path


def line(**weights) -> dict:
    """The config of a line with weights."""
    return dict(type="Line", weights=weights)


def test_a_part_gets_the_weights_with_the_prefix_and_others_stay_also_in_a_list(file):
    pair = Pair()
    load_part_weights(pair, dict(type="LineFit", single=line(path=str(file), prefix="old.")))
    assert pair.single.slope.item() == 2.0 and pair.single.intercept.item() == 3.0
    assert pair.lines[0].slope.item() == 0.0
    pair = Pair()
    load_part_weights(pair, dict(type="LineFit", lines=[dict(type="Line"), line(path=str(file), prefix="old.")]))
    assert [each.slope.item() for each in pair.lines] == [0.0, 2.0]


def test_weights_of_the_model_itself_are_the_whole_frameworks(file):
    pair = BACKBONES.get("Line")()
    load_part_weights(pair, dict(type="LineFit", weights=dict(path=str(file), prefix="old.")))
    assert pair.slope.item() == 2.0


def test_a_part_that_takes_weights_itself_is_left_alone():
    pair = Pair()
    before = {name: value.clone() for name, value in pair.state_dict().items()}
    load_part_weights(pair, dict(type="LineFit", own=dict(type="Weighted", weights=dict(anything=1))))
    assert all(torch.equal(value, before[name]) for name, value in pair.state_dict().items())


def test_a_plain_file_of_weights_needs_no_prefix(tmp_path):
    path, pair = tmp_path / "plain.pt", Pair()
    torch.save(dict(slope=torch.ones(1), intercept=torch.ones(1)), path)
    load_part_weights(pair, dict(type="LineFit", single=line(path=str(path))))
    assert pair.single.slope.item() == 1.0


def test_an_installed_package_stands_for_its_file(file, monkeypatch):

    class Installed:
        """A distribution with a file of weights and another."""

        files = [file, file.with_suffix(".txt")]

    monkeypatch.setattr(type(file), "locate", lambda self: self, raising=False)
    monkeypatch.setattr(packages, "distribution", lambda name: Installed)
    pair, weights = Pair(), line(package="somewhere", path=None, prefix="old.")
    load_part_weights(pair, dict(type="LineFit", single=weights))
    assert pair.single.slope.item() == 2.0
    Installed.files = Installed.files * 2
    with pytest.raises(ConfigError, match="model.single.weights: the package 'somewhere' holds 2 "):
        load_part_weights(pair, dict(type="LineFit", single=weights))


@pytest.mark.parametrize("weights, problem", [
    (dict(package="no-such-package"), "model.single.weights: the package 'no-such-package' is not installed"),
    (dict(), r"model.single.weights=\{\}: expected dict\(path"),
    (dict(path="a", package="b"), "model.single.weights"),
    (dict(path="a", prefx="b."), "model.single.weights.*prefx"),
    ("zoo:line", "model.single.weights='zoo:line': expected"),
])  # yapf: disable
def test_weights_that_name_no_single_source_are_refused(weights, problem):
    with pytest.raises(ConfigError, match=problem):
        load_part_weights(Pair(), dict(type="LineFit", single=dict(type="Line", weights=weights)))


def test_weights_of_a_part_that_the_framework_does_not_keep_are_refused(file):
    with pytest.raises(ConfigError, match="model.backbone.weights: Pair .*'backbone'"):
        load_part_weights(Pair(), dict(type="LineFit", backbone=line(path=str(file))))


@pytest.mark.parametrize("prefix, problem", [("new.", "no weights with the prefix 'new.'"), ("", "don't fit"),
                                             ("old.s", r"don't fit this config's Line: missing \['intercept', 'slope'\]")])
def test_a_file_that_does_not_fit_is_refused(prefix, problem, file):
    with pytest.raises(CheckpointError, match=f"weights.pth: .*{problem}"):
        load_part_weights(Pair(), dict(type="LineFit", single=line(path=str(file), prefix=prefix)))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="none.pth: no such checkpoint"):
        load_part_weights(Pair(), dict(type="LineFit", single=line(path=str(tmp_path / "none.pth"))))


def test_a_resumed_run_and_one_that_starts_from_weights_load_no_parts(file, line_config, runner_of, tmp_path):
    weights = dict(path=str(file), prefix="old.")
    config = line_config(model__backbone__weights=weights, train_cfg__stages=[dict(name="train", max_steps=1)])
    assert abs(runner_of(config, tmp_path / "a").train().backbone.slope.item() - 2) < 0.1
    file.unlink()
    runner_of(line_config(model__backbone__weights=weights, train_cfg__stages=[dict(name="train", max_steps=2)]),
              tmp_path / "a",
              resume=True).train()
    framework = runner_of(config, tmp_path / "b", load_from=str(tmp_path / "a" / "checkpoints" / "step_00000001.pth")).train()
    assert abs(framework.backbone.slope.item() - 2) < 0.2
