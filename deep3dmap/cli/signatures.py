"""Signatures and docstrings read from source, so that ``--help`` doesn't import PyTorch.

The signature gives names, types and defaults; the docstring's ``Args`` the help. Imported names are resolved, so a default may
be a constant, and ``**arguments: Unpack[...]`` a ``TypedDict``.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from deep3dmap import ranges

ROOT = Path(__file__).parents[2]

#: Types allowed in annotations. Arguments with other annotations are for Python callers only.
TYPES = dict(vars(ranges), Iterable=Iterable, Mapping=Mapping, Sequence=Sequence, Path=Path, Literal=Literal)

REQUIRED = inspect.Parameter.empty


class Parameter(NamedTuple):
    """An argument of a function.

    Attributes:
        name: its name.
        annotation: its type; None if not supported on the command line.
        default: its default; ``REQUIRED`` if there is none.
        help: the first sentence of its description.
    """

    name: str
    annotation: Any
    default: Any
    help: str


class Function(NamedTuple):
    """A function: the first sentence of its docstring, and its arguments."""

    summary: str
    parameters: list[Parameter]


def read_function(path: str) -> Function:
    """The function at a dotted path, such as ``deep3dmap.apis.train.train``."""
    module, node = _find(*_split(path))
    texts, parameters = _texts(module, node), []
    positional, keyword = [*node.args.posonlyargs, *node.args.args], node.args.kwonlyargs
    defaults = [None] * (len(positional) - len(node.args.defaults)) + node.args.defaults + node.args.kw_defaults
    for argument, default in zip([*positional, *keyword], defaults):
        kind = _annotation(argument.annotation)
        value = None if kind is None else REQUIRED if default is None else _value(module, default)
        parameters.append(Parameter(argument.arg, kind, value, texts.get(argument.arg, "")))
    if node.args.kwarg and isinstance(node.args.kwarg.annotation, ast.Subscript):
        parameters += _fields(module, node.args.kwarg.annotation.slice.id)
    return Function(_sentence((ast.get_docstring(node) or "").split("\n\n")[0]), parameters)


def _fields(module: str, name: str) -> Iterator[Parameter]:
    """The keys of a ``TypedDict``, those of its base first; all optional."""
    module, node = _find(module, name)
    texts = _texts(module, node)
    for base in node.bases:
        if base.id != "TypedDict":
            yield from _fields(module, base.id)
    for line in node.body:
        if isinstance(line, ast.AnnAssign):
            yield Parameter(line.target.id, _annotation(line.annotation), None, texts[line.target.id])


@cache
def _tree(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _split(path: str) -> tuple[str, str]:
    module, _, name = path.rpartition(".")
    return module, name


def _find(module: str, name: str) -> tuple[str, ast.AST]:
    """The definition of a name in a module, and the module that defines it."""
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return _find(node.module, name)
        if getattr(node, "name", None) == name:
            return module, node
        if isinstance(node, ast.Assign) and name in [getattr(target, "id", None) for target in node.targets]:
            return module, node.value
    raise LookupError(f"{module} has no {name}")


def _annotation(node: ast.expr | None) -> Any:
    try:
        return node and eval(compile(ast.Expression(node), "<annotation>", "eval"), TYPES)
    except NameError:
        return None


def _value(module: str, node: ast.expr) -> Any:
    return ast.literal_eval(_find(module, node.id)[1] if isinstance(node, ast.Name) else node)


def _texts(module: str, node: ast.AST) -> dict[str, str]:
    """The first sentence for each argument; "as for :func:`other`" includes that function's."""
    text = (ast.get_docstring(node) or "") + "\n"
    other = re.search(r"as for\s+:func:`~?([\w.]+)`", text)
    found = _texts(*_find(*_split(other[1] if "." in other[1] else f"{module}.{other[1]}"))) if other else {}
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n)+)", text, re.MULTILINE)
    for entry in re.split(r"^    (?=\S)", section[1], flags=re.MULTILINE)[1:] if section else ():
        names, _, description = entry.partition(": ")
        if not description.startswith("as for :func:"):
            found |= dict.fromkeys(names.split(", "), _sentence(description))
    return found


def _sentence(text: str) -> str:
    """The first sentence, without markup and the full stop."""
    first = re.split(r"(?<!\.)\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", first).replace("``", "")
