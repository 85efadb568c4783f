"""Runs programs one after another in each of torchrun's processes, as each would run alone: spares starting them anew.

Takes a JSON list of command lines, ``[["tools/train.py", "config.py", ...], ...]``.
"""

import json
import runpy
import sys
import warnings

if __name__ == "__main__":
    warnings.filterwarnings("error", module="deep3dmap|mmengine")
    for command in json.loads(sys.argv[1]):
        sys.argv = [*command, "--launcher", "pytorch"]
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
