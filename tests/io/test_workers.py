"""Work in several processes: results, refusals, crashes and time-outs, each told for its own task."""

import os
import signal
import time

import pytest

from deep3dmap.errors import DataError
from deep3dmap.io.workers import DONE, FAILED, REFUSED, run_tasks


def behave(task):
    """What a task says: ``("return", value)``, or a way to fail."""
    what, value = task
    if what == "refuse":
        raise DataError(f"{value}: is refused")
    if what == "raise":
        raise KeyError(value)
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == "exit":
        os._exit(value)
    if what == "sleep":
        time.sleep(value)
    if what == "process":
        return os.getpid()
    if what == "threads":
        import torch
        return torch.get_num_threads(), os.environ["IGL_NUM_THREADS"]
    return value


def outcomes(*tasks, processes=2, timeout=60.0):
    return dict(run_tasks(behave, tasks, processes, timeout))


def test_every_task_has_its_result():
    found = outcomes(*[("return", i) for i in range(7)], processes=3)
    assert {number: outcome.value for number, outcome in found.items()} == {i: i for i in range(7)}
    assert {outcome.kind for outcome in found.values()} == {DONE}


def test_one_that_is_refused_fails_crashes_or_exits_leaves_the_others_alone():
    found = outcomes(("refuse", "a.ply"), ("raise", "b"), ("die", 0), ("exit", 3), ("return", 4))
    assert [found[i].kind for i in range(5)] == [REFUSED, FAILED, FAILED, FAILED, DONE]
    assert found[0].reason == "a.ply: is refused"
    assert found[1].reason == "KeyError: 'b'"
    assert "SIGSEGV" in found[2].reason and "exit code 3" in found[3].reason


def test_one_that_hangs_is_given_up_and_its_process_replaced():
    found = outcomes(("sleep", 600), ("return", 1), ("return", 2), processes=1, timeout=3.0)
    assert found[0].kind == FAILED and "longer than 3 s" in found[0].reason
    assert found[1].value == 1 and found[2].value == 2


def test_each_process_works_on_one_thread_and_on_several_tasks():
    found = outcomes(("threads", 0), *[("process", 0)] * 4, processes=2)
    assert found[0].value == (1, "1")
    assert len({found[i].value for i in range(1, 5)} | {os.getpid()}) <= 3


def test_who_stops_early_leaves_no_process_behind():
    running = run_tasks(behave, [("process", 0), ("sleep", 600)], 2, 600.0)
    first = dict([next(running)])
    running.close()
    with pytest.raises(ProcessLookupError):
        os.kill(next(iter(first.values())).value, 0)


def test_no_tasks_need_no_process():
    assert outcomes() == {}
