"""How the command line is read: commands with sub-commands, and the nearest known word for a misspelt one."""

import argparse
from collections.abc import Callable, Mapping

from deep3dmap.errors import nearest

#: By name: one line of help, a function that adds arguments to a parser, one that runs the command and gives its exit code.
Commands = Mapping[str, tuple[str, Callable, Callable]]

TRACEBACK = "show where an error came from"

#: What the words of ``--amp`` mean.
AMP = {"auto": "auto", "on": True, "off": False}


class Parser(argparse.ArgumentParser):
    """Reports a misspelt option or choice with the usage of the command at hand and the nearest known one."""

    def parse_known_args(self, args=None, namespace=None):
        """As the base class, but nothing may be left over: sub-commands report it themselves, with their own usage."""
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for option in self._option_string_actions if option.startswith("--")]
            misspelt = next((text.partition("=")[0] for text in unknown if text.startswith("--")), None)
            hint = f": {nearest(misspelt, known, 1)}" if misspelt else ""
            self.error(f"unrecognized arguments: {misspelt or ' '.join(unknown)}{hint}")
        return namespace, unknown

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            known = [name for name in action.choices if "_" not in name]  # without the second spelling of commands
            raise argparse.ArgumentError(action, f"unknown '{value}': {nearest(value, known)}")


def add_commands(parser: argparse.ArgumentParser, dest: str, help: str, commands: Commands) -> None:
    """Add sub-commands; the parsed arguments' ``run`` is the chosen one's function.

    Args:
        parser: of the command above them.
        dest: attribute of the parsed arguments that holds the chosen name.
        help: of the sub-commands as a whole.
        commands: the sub-commands; ``a_b`` is another spelling of ``a-b``.
    """
    chosen = parser.add_subparsers(dest=dest, required=True, metavar=dest.upper(), help=help, parser_class=Parser)
    for name, (text, add, run) in commands.items():
        command = chosen.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        command.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS, help=TRACEBACK)
        add(command)
        chosen.choices[name.replace("-", "_")] = command


def add_amp(parser: argparse.ArgumentParser, default: str | None, auto: str) -> None:
    """The option ``--amp``, and what ``auto`` means to a command."""
    parser.add_argument("--amp",
                        nargs="?",
                        const="on",
                        default=default,
                        choices=AMP,
                        help=f"train in mixed precision (bfloat16): on (as --amp alone), off, or auto, {auto}")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """The option ``--trust-imports`` of commands that build what a checkpoint's own config describes."""
    parser.add_argument("--trust-imports",
                        action="store_true",
                        help="import modules that the checkpoint names: runs their code")
