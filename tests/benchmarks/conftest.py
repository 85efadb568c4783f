"""Common to the tests of benchmarks: measuring without a process of its own for each case."""

import pytest

from deep3dmap.benchmarks.cost import _Run, run_case


def in_this_process(run: _Run, case: dict, what: str):
    """Stands for ``_Run._start``."""
    return run_case(dict(case, method=run.method, device=run.device, quick=run.quick))


@pytest.fixture
def one_process(monkeypatch):
    """Cases are measured in this process."""
    monkeypatch.setattr(_Run, "_start", in_this_process)
