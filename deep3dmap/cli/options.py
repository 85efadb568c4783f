"""Command-line options from a function's arguments, by type."""

import argparse
import ast
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from deep3dmap.cli.signatures import REQUIRED, Parameter
from deep3dmap.errors import nearest

LISTS = (Sequence, Iterable)
WORDS = {"true": True, "false": False, "null": None, "none": None}


def add_option(group, parameter: Parameter, names: Sequence[str], empty: bool = False) -> None:
    """Add an option to a parser or group; ``empty`` allows an empty list. Options that are not given have no attribute."""
    settings = _settings(parameter.annotation) | (dict(nargs="*") if empty else {})
    if parameter.annotation is bool and parameter.default:
        names, settings = [f"--no-{name.lstrip('-')}" for name in names], dict(action="store_false")
    settings |= dict(default=argparse.SUPPRESS, required=parameter.default is REQUIRED, help=_help(parameter))
    group.add_argument(*names, dest=parameter.name, **settings)


def add_positional(parser: argparse.ArgumentParser, parameter: Parameter) -> None:
    """Add a positional argument; optional if the function has a default for it."""
    settings = _settings(parameter.annotation)
    settings.pop("metavar", None)
    if parameter.default is not REQUIRED:
        settings |= dict(nargs="?", default=argparse.SUPPRESS)
    parser.add_argument(parameter.name, help=_help(parameter), **settings)


def as_annotated(annotation: Any, value: Any) -> Any:
    """Convert a parsed value to the annotated type: argparse returns lists for multiple values."""
    kinds = [get_origin(kind) for kind in _members(annotation)]
    if Mapping in kinds:
        return dict(value)
    if tuple in kinds:
        return tuple(value)
    return [tuple(each) if isinstance(each, list) else each for each in value] if isinstance(value, list) else value


def _help(parameter: Parameter) -> str:
    default, text = parameter.default, parameter.help.replace("%", "%%")
    if default is True:
        return f"no {text}"
    if any(default is none for none in (REQUIRED, None, False, ())):
        return text
    shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
    return f"{text} (default: {f'{shown:g}' if isinstance(shown, float) else shown})"


def _members(annotation: Any) -> list:
    """The types of a union other than None; only the list type, if there is one."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation, )
    kinds = [Mapping[str, object] if kind is Mapping else kind for kind in kinds if kind is not type(None)]
    return [kind for kind in kinds if get_origin(kind) in LISTS] or kinds


def _settings(annotation: Any) -> dict[str, Any]:
    """argparse settings of a type."""
    kinds = _members(annotation)
    by_origin = {get_origin(kind): get_args(kind) for kind in kinds}
    if not by_origin.keys().isdisjoint(LISTS):
        each = _settings(get_args(kinds[0])[0])
        return each | (dict(action="append") if "nargs" in each else dict(nargs="+"))
    if Mapping in by_origin:
        return dict(nargs="+", action="extend", type=pair, metavar="KEY=VALUE")
    if tuple in by_origin:
        return _settings(by_origin[tuple][0]) | dict(nargs=len(by_origin[tuple]))
    if bool in kinds:
        return _switch(by_origin.get(Literal), Path in kinds)
    if Literal in by_origin:
        return dict(choices=by_origin[Literal])
    if Path in kinds:
        return dict(type=_place if str in kinds else Path, metavar="PATH")
    return {} if kinds == [str] else dict(type=_number(kinds[0]))


def _switch(words: tuple[str, ...] | None, path: bool) -> dict[str, Any]:
    """``--option`` alone, or with a value if the type has more than True and False."""
    if path:
        return dict(nargs="?", const=True, type=_place, metavar="PATH")
    if words is None:
        return dict(action="store_true")
    known = {word: word for word in words} | dict(on=True, off=False)
    return dict(nargs="?", const=True, type=lambda text: _known(text, known), metavar="{" + ",".join(known) + "}")


def _known(text: str, values: Mapping[str, Any]) -> Any:
    if text not in values:
        raise argparse.ArgumentTypeError(f"unknown '{text}': {nearest(text, values)}")
    return values[text]


def _number(kind: Any) -> Callable[[str], float]:
    plain, *ranges = get_args(kind) if get_origin(kind) is Annotated else (kind, )

    def convert(text: str) -> float:
        value = plain(text)
        for each in ranges:
            if value not in each:
                raise argparse.ArgumentTypeError(f"{text} is not a number {each}")
        return value

    convert.__name__ = plain.__name__  # used in argparse's messages
    return convert


def _place(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("empty path; write . for the current folder")
    return text


def pair(text: str) -> tuple[str, object]:
    """Key and value of ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"'{text}' is not key=value")
    return key, _literal(value)


def _literal(text: str) -> object:
    """A Python literal (or true, false, null) if the string is one, else the string."""
    if text in WORDS:
        return WORDS[text]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # nested too deeply
        return text
