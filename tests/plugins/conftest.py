"""The scripts of tools/, run as a user runs them but without a new interpreter: importing takes longer than the work here."""

import os
import runpy
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.killing import fork, wait

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
def tool_in_two(tool, tmp_path_factory) -> Callable[..., list[int]]:
    """Runs a script in two processes with the variables that torchrun sets; returns 0 for each that ended well."""

    def run(*arguments: object) -> list[int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        def work(rank: int) -> None:
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                              MASTER_PORT=str(port))  # yapf: disable
            assert tool(*arguments, "--launcher", "pytorch") == 0

        with open(tmp_path_factory.mktemp("two") / "output.txt", "w+") as output:
            children = [fork(lambda rank=rank: work(rank), output.fileno()) for rank in range(2)]
            codes = [wait(child) for child in children]
            print((output.seek(0), output.read())[1])
        return codes

    return run
