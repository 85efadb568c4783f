"""The scripts of tools/, run in this process as a user runs them."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / "tools"


@pytest.fixture(scope="session")
def tool() -> Callable[..., int]:
    """Runs a script of tools/ (``train``, ``test``) with its arguments on one thread of the CPU; returns its exit code."""

    def run(name: str, *arguments: object) -> int:
        plugin = str(Path(arguments[0]).parent)
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments), "--device", "cpu"])
            patch.syspath_prepend(plugin)
            torch.set_num_threads(1)
            try:
                runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
            except SystemExit as ended:
                return ended.code
            finally:
                torch.set_num_threads(threads)

    return run
