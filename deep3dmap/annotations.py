"""Checks of a config's values against the annotations of the arguments that they are passed to.

Only unambiguous annotations are checked: plain types, and lists, dictionaries and unions of them. A value for any other class
may be a name or a description of an object, so it is left to the constructor.

Ranges of numbers are part of the signature (``width: Count = 512``) and are checked with the type before anything is built;
the error names the location in the config.
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import numpy as np
from torch import Tensor

from deep3dmap.ranges import Count, NotNegative, Positive, Range, Scale, Share, Whole  # noqa: F401 - parts take them from here

#: Names of plain types in messages, singular and plural.
WORDS = {bool: ("True or False", "True or False"), int: ("an integer", "integers"), float: ("a number", "numbers"),
         str: ("a string", "strings"), Path: ("a path", "paths"), type(None): ("None", "None"),
         Tensor: ("a tensor", "tensors")}  # yapf: disable
LISTS = (list, tuple, set, frozenset, Sequence, Iterable, Collection)
MAPPINGS = (dict, Mapping)


def annotations_of(function: Callable) -> dict[str, Any]:
    """The annotations of a function's arguments, resolved; empty if they can't be. A default of None allows None."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
    except Exception:  # names that don't exist at run time, C functions
        return {}
    return {
        name: hint if parameters[name].default is not None else Union[hint, None]  # noqa: UP007 - hint may be any object
        for name, hint in hints.items() if name in parameters
    }


def type_error_message(value: object, annotation: Any, where: str) -> str | None:
    """Error message for a value that doesn't match an annotation; None if it matches, or the annotation is ambiguous.

    Args:
        value: a config's value.
        annotation: annotation of the argument that it is passed to.
        where: its location in the config; entries of lists and dictionaries are appended.
    """
    if fits(value, annotation) is not False:
        return None
    for inner, each, key in _entries(value, annotation):
        found = type_error_message(each, inner, f"{where}{key}")
        if found:
            return found
    whole = isinstance(value, Real) and math.isfinite(value) and float(value).is_integer() and not isinstance(value, bool)
    hint = f" (write {int(value)})" if whole and fits(int(value), annotation) else ""
    return f"{where}={_short(value)}: expected {describe(annotation)}{hint}"


def fits(value: object, annotation: Any) -> bool | None:
    """Whether a value matches an annotation; None if the annotation is ambiguous."""
    origin = typing.get_origin(annotation) or annotation
    inner = typing.get_args(annotation)
    if origin is Annotated:
        plain = fits(value, inner[0])
        return all(value in each for each in inner[1:] if isinstance(each, Range)) if plain else plain
    if origin in (Union, types.UnionType):
        answers = [fits(value, each) for each in inner]
        return True if True in answers else None if None in answers else False
    if origin is Literal:
        return value in inner
    if origin in LISTS or origin in MAPPINGS:
        return _container_fits(value, annotation, origin)
    return _plain_fits(value, origin)


def _plain_fits(value: object, kind: Any) -> bool | None:
    if kind in (None, type(None)):
        return value is None
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if kind in (int, float):
        number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
        return number and not (isinstance(value, Real) and math.isnan(value))
    if kind is str:
        return isinstance(value, str)
    if kind in (Path, PathLike):
        return isinstance(value, (str, Path))
    if kind is Tensor:
        return True if isinstance(value, Tensor) else False if value is None or isinstance(value, (str, Mapping)) else None
    return None


def _container_fits(value: object, annotation: Any, origin: Any) -> bool | None:
    if origin in MAPPINGS and not isinstance(value, Mapping):
        return False
    if origin in LISTS:
        if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
            return False
        length = _fixed_length(annotation)
        if length is not None and len(value) != length:
            return False
    answers = [fits(each, inner) for inner, each, _ in _entries(value, annotation)]
    return False if False in answers else None if None in answers else True


def _fixed_length(annotation: Any) -> int | None:
    inner = typing.get_args(annotation)
    return len(inner) if typing.get_origin(annotation) is tuple and Ellipsis not in inner else None


def _entries(value: object, annotation: Any) -> list[tuple[Any, object, str]]:
    """The entries of a list or dictionary: annotation, value, and key as written in a config."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):  # the one alternative that is of the value's kind
        kinds = MAPPINGS if isinstance(value, Mapping) else LISTS
        same = [each for each in inner if (typing.get_origin(each) or each) in kinds]
        return _entries(value, same[0]) if len(same) == 1 else []
    if origin in MAPPINGS and isinstance(value, Mapping):
        return [(inner[1], each, f".{key}") for key, each in value.items()]
    if origin in LISTS and not isinstance(value, (str, bytes, Mapping)) and hasattr(value, "__iter__"):
        length = _fixed_length(annotation)
        kinds = [inner[0]] * len(value) if length is None else inner if length == len(value) else ()
        return [(kind, each, f"[{k}]") for k, (kind, each) in enumerate(zip(kinds, value))]
    return []


def describe(annotation: Any, many: bool = False) -> str:
    """An annotation in words."""
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is Annotated:
        return " ".join([describe(inner[0], many), *(str(each) for each in inner[1:] if isinstance(each, Range))])
    if origin in (Union, types.UnionType):
        shown = [each for each in inner if each is not Tensor] or inner  # configs hold no tensors
        return " or ".join(dict.fromkeys(describe(each, many) for each in shown))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin in MAPPINGS:
        return "dictionaries" if many else "a dictionary"
    if origin in LISTS:
        length, name = _fixed_length(annotation), "lists" if many else "a list"
        if length is not None:
            return f"{name} of {length} entries"
        return f"{name} of {describe(inner[0], True)}" if inner else name
    origin = type(None) if origin is None else origin
    return WORDS.get(origin, (f"a {getattr(origin, '__name__', origin)}", ) * 2)[many]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
