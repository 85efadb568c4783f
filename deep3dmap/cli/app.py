"""The command ``deep3dmap``: parses arguments, calls a function, and prints errors as one message."""

import os
import shlex
import sys
import time
from collections.abc import Sequence

from deep3dmap.cli.commands import INTERRUPTED
from deep3dmap.cli.parser import make_parser
from deep3dmap.errors import Deep3DError
from deep3dmap.interrupts import termination_as_interrupt
from deep3dmap.io.files import FULL, reason


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 1 after an error caused by the input (one message, no traceback); 130 when interrupted.
    """
    started = time.monotonic()
    argv = list(sys.argv[1:] if argv is None else argv)
    args = make_parser().parse_args(argv)
    own = dict(command=shlex.join(["deep3dmap", *argv]), started=started, log=lambda line: print(line, flush=True))
    try:
        with termination_as_interrupt():
            _trust_imports(args)
            return args.run(args, own)
    except Deep3DError as error:
        if args.traceback:
            raise
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if args.traceback or (error.filename is None and error.errno not in FULL):
            raise
        print(_path_error(error), file=sys.stderr)
        return 1


def _trust_imports(args) -> None:
    """Import the modules of the command's checkpoints, if ``--trust-imports`` is given."""
    if getattr(args, "trust_imports", False):
        from deep3dmap.apis.inference import trust_imports
        for checkpoint in filter(None, (args.checkpoint, getattr(args, "appearance", None))):
            trust_imports(checkpoint)


def _path_error(error: OSError) -> str:
    """Message for a path that can't be written or read."""
    if error.errno in FULL:
        return f"{error.filename or 'the output'}: can't be written ({reason(error)}, and run the command again)"
    return f"{type(error).__name__}: {error.filename}: {reason(error)}; choose another path (--traceback shows where)"
