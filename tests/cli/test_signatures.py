"""What the command line reads from the source of a function is what the function says when it is imported."""

import argparse
import importlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pytest

from deep3dmap.cli.commands import COMMANDS, KINDS, VERBS, Command
from deep3dmap.cli.options import add_option, add_positional, as_annotated
from deep3dmap.cli.signatures import REQUIRED, Parameter, read_function
from deep3dmap.ranges import Count, Positive, Share

EVERY = [command for command in {**COMMANDS, **KINDS, **VERBS}.values() if isinstance(command, Command)]


@pytest.mark.parametrize("path", sorted({f"deep3dmap.{command.function}" for command in EVERY}))
def test_names_and_defaults_are_those_of_the_function(path):
    module, _, name = path.rpartition(".")
    signature = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    read = {each.name: each for each in read_function(path).parameters}
    assert {name for name, each in signature.items() if each.kind != each.VAR_KEYWORD} <= set(read)
    for name, parameter in signature.items():
        if name in read and read[name].annotation is not None:
            assert read[name].default == parameter.default, name


def test_arguments_of_a_typed_dict_are_read_with_those_of_its_base():
    read = {each.name: each for each in read_function("deep3dmap.apis.train.train").parameters}
    assert list(read)[-4:] == ["seed", "device", "launcher", "amp"]
    assert "arguments" not in read and read["seed"].help == "of every random choice (default: the config's)"


def test_a_default_may_be_a_constant_of_another_module():
    from deep3dmap.evaluation.shapes import COMPLETION_DISTANCE
    read = {each.name: each for each in read_function("deep3dmap.apis.compare.compare").parameters}
    assert read["completion_distance"].default == COMPLETION_DISTANCE


def test_what_another_function_says_of_an_argument_needs_not_be_repeated():
    own, other = (read_function(f"deep3dmap.apis.{path}").parameters for path in ("test.test", "train.train"))
    assert [[each.help for each in found if each.name == "options"] for found in (own, other)
            ] == [["values that override the config's, for example optim_wrapper.optimizer.lr=1e-3"]] * 2


def parsed(annotation, *words, default=None):
    """The value of an argument of this type, given as an option; None without."""
    parser, parameter = argparse.ArgumentParser(exit_on_error=False), Parameter("name", annotation, default, "a name")
    add_option(parser, parameter, ["--name"])
    value = getattr(parser.parse_args(words), "name", None)
    return None if value is None else as_annotated(annotation, value)


@pytest.mark.parametrize("annotation, words, expected", [
    (int, "--name 3", 3),
    (float | None, "--name 1e-3", 1e-3),
    (str | Path, "--name a/b", "a/b"),
    (Path | None, "--name a/b", Path("a/b")),
    (Count, "--name 1", 1),
    (bool, "--name", True),
    (bool | Literal["auto"] | None, "--name", True),
    (bool | Literal["auto"] | None, "--name off", False),
    (bool | Literal["auto"] | None, "--name auto", "auto"),
    (bool | str | Path, "--name", True),
    (bool | str | Path, "--name a.pth", "a.pth"),
    (Sequence[int], "--name 3 4", [3, 4]),
    (Mapping[str, Mapping] | Iterable[str] | None, "--name a b", ["a", "b"]),
    (tuple[float, float, float] | None, "--name 0 1 2", (0.0, 1.0, 2.0)),
    (Sequence[tuple[str | Path, str | Path]], "--name a b --name c d", [("a", "b"), ("c", "d")]),
    (Mapping | None, "--name a=1 b=x --name c=null", dict(a=1, b="x", c=None)),
    (Mapping | None, "", None),
])  # yapf: disable
def test_a_value_is_of_the_arguments_type(annotation, words, expected):
    value = parsed(annotation, *words.split())
    assert value == expected and type(value) is type(expected)


def test_what_is_true_by_default_has_an_option_that_turns_it_off():
    parser = argparse.ArgumentParser()
    add_option(parser, Parameter("with_color", bool, True, "colours"), ["--with-color"])
    assert parser.parse_args(["--no-with-color"]).with_color is False and "no colours" in parser.format_help()


@pytest.mark.parametrize("annotation, word, message", [
    (Count, "0", "0 is not a number of at least 1"),
    (Positive, "nan", "nan is not a number above 0"),
    (Share, "1.5", "1.5 is not a number of at least 0 and at most 1"),
    (Count, "x", "invalid int value: 'x'"),
    (str | Path, " ", "empty path"),
    (Mapping, "a", "'a' is not key=value"),
    (bool | Literal["auto"], "onn", "did you mean 'on'"),
])  # yapf: disable
def test_a_value_of_another_type_is_refused(annotation, word, message):
    with pytest.raises(argparse.ArgumentError, match=message):
        parsed(annotation, "--name", word)


@pytest.mark.parametrize("default, words, expected", [(REQUIRED, ["a"], "a"), ("idr", [], None), ("idr", ["a"], "a")])
def test_a_positional_may_be_left_out_if_the_function_has_a_default(default, words, expected):
    parser = argparse.ArgumentParser()
    add_positional(parser, Parameter("method", str, default, "a method"))
    assert getattr(parser.parse_args(words), "method", None) == expected
