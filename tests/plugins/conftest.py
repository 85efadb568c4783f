"""The scripts of tools/, run as a user runs them but without a new interpreter: importing takes longer than the work here."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.killing import forked_ranks

HERE = Path(__file__).parent
TOOLS = HERE.parents[1] / "tools"


@pytest.fixture(scope="session")
def tool() -> Callable[..., int]:
    """Runs a script of tools/ (``train``, ``test``) on a plug-in's config, in one thread on the CPU; returns its exit code."""

    def run(name: str, config: Path, *arguments: object) -> int:
        threads = torch.get_num_threads()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [f"{name}.py", str(config), *map(str, arguments), "--device", "cpu"])
            patch.syspath_prepend(str(config.parent))
            torch.set_num_threads(1)
            try:
                runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
            except SystemExit as ended:
                return ended.code
            finally:
                torch.set_num_threads(threads)

    return run


@pytest.fixture(scope="session")
def tool_in_two(tool) -> Callable[..., list[int]]:
    """Runs a script in two processes with the variables that torchrun sets; returns 0 for each that ended well."""

    def run(*arguments: object) -> list[int]:

        def work() -> None:
            assert tool(*arguments, "--launcher", "pytorch") == 0

        codes, text = forked_ranks(2, work)
        print(text)
        return codes

    return run
