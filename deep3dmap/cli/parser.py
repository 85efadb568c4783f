"""The argument parser: commands with sub-commands, and suggestions for misspelt words."""

import argparse
import importlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from deep3dmap.cli.commands import COMMANDS, OUTPUT, Command
from deep3dmap.cli.options import add_option, add_positional, as_annotated
from deep3dmap.cli.signatures import REQUIRED, Parameter, read_function
from deep3dmap.errors import nearest
from deep3dmap.version import __version__

TRACEBACK = "show an error's traceback"
TRUST = "import the modules in the checkpoint's config: runs their code"

#: Arguments set by the command line itself, if a function has them.
OWN = ("command", "started", "log")

#: Option names that differ from the arguments', for every command.
NAMES = {**OUTPUT, "options": ["--cfg-options"]}


class Parser(argparse.ArgumentParser):
    """Reports a misspelt option or choice with the command's usage and the closest known one."""

    def parse_known_args(self, args=None, namespace=None):
        """As the base class, but unknown arguments are an error, so that sub-commands report them with their own usage."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            misspelt = next((text.partition("=")[0] for text in unknown if text.startswith("--")), None)
            hint = f": {nearest(misspelt, known, 1)}" if misspelt else ""
            self.error(f"unrecognized arguments: {misspelt or ' '.join(unknown)}{hint}")
        return namespace, unknown

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            known = [name for name in action.choices if "_" not in name]  # without aliases
            raise argparse.ArgumentError(action, f"unknown '{value}': {nearest(value, known)}")


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(prog="deep3dmap", description="3D reconstruction from images.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--traceback", action="store_true", help=TRACEBACK)
    _add_commands(parser, "command", "what to do", COMMANDS)
    return parser


def _add_commands(parser: argparse.ArgumentParser, dest: str, help: str, commands: Mapping[str, Any]) -> None:
    """Add sub-commands, with ``a_b`` as an alias of ``a-b``; a tuple is a group with a help line and sub-commands."""
    chosen = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper(), help=help, parser_class=Parser)
    for name, command in commands.items():
        group = isinstance(command, tuple)
        function = None if group else read_function(f"deep3dmap.{command.function}")
        text = command[0] if group else command.summary or function.summary
        added = chosen.add_parser(name, help=text[0].lower() + text[1:], description=text[0].upper() + text[1:] + ".")
        added.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS, help=TRACEBACK)
        if group:
            _add_commands(added, *command[1:])
        else:
            _add_arguments(added, command, function.parameters)
        chosen.choices[name.replace("-", "_")] = added


def _add_arguments(parser: argparse.ArgumentParser, command: Command, parameters: Sequence[Parameter]) -> None:
    """Add the function's arguments (the first and required ones positional) and those of ``command.run``."""
    more = read_function(f"deep3dmap.cli.commands.{command.run.__name__}").parameters[1:]  # without the function
    either = parser.add_mutually_exclusive_group(required=command.one_of_them) if command.exclusive else parser
    for number, each in enumerate([*parameters, *more]):
        if each.annotation is None or each.name in (*OWN, *command.hidden):
            continue
        each = each._replace(default=command.defaults.get(each.name, each.default))
        if (number == 0 or each.default is REQUIRED) and each.name not in command.names:
            add_positional(parser, each)
        else:
            names = {**NAMES, **command.names}.get(each.name) or [f"--{each.name}".replace("_", "-")]
            add_option(either if each.name in command.exclusive else parser, each, names, each.name in command.empty)
    if command.trust:
        parser.add_argument("--trust-imports", action="store_true", help=TRUST)
    parser.set_defaults(run=partial(_run, command, parameters, more))


def _run(command: Command, parameters: Sequence[Parameter], more: Sequence[Parameter], args: argparse.Namespace,
         own: Mapping[str, Any]) -> int:  # yapf: disable
    """Import a command's function, which takes seconds, and run it; ``own`` are the arguments set by the command line."""
    given = {each.name: as_annotated(each.annotation, getattr(args, each.name))
             for each in [*parameters, *more] if hasattr(args, each.name)}  # yapf: disable
    values = {**command.defaults, **given, **own}
    module, _, name = f"deep3dmap.{command.function}".rpartition(".")
    function = getattr(importlib.import_module(module), name)
    call = partial(function, **{each.name: values[each.name] for each in parameters if each.name in values})
    return command.run(call, **{each.name: given[each.name] for each in more if each.name in given})
