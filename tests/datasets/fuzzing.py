"""What property tests of readers share: how many examples, folders to damage, and an end to what hangs.

Each run tries the same few examples. ``DEEP3DMAP_FUZZ_EXAMPLES=3000 pytest tests/datasets/test_fuzz_*.py`` tries as many of
every property, new ones each time; it takes an hour or two.
"""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings

from deep3dmap.errors import DataError

EXAMPLES = int(os.environ.get("DEEP3DMAP_FUZZ_EXAMPLES", "0"))  # of every property; 0: as few as belong into each run


def fuzz(few: int) -> settings:
    """Settings of a property: always the same ``few`` examples, or as many new ones as ``DEEP3DMAP_FUZZ_EXAMPLES`` says."""
    return settings(max_examples=EXAMPLES or few,
                    derandomize=not EXAMPLES,
                    database=None,
                    deadline=None,
                    print_blob=bool(EXAMPLES),
                    suppress_health_check=list(HealthCheck))


def write(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


class HangError(BaseException):
    """No Exception, which a reader could take for a file's fault."""


@contextmanager
def cpu_limit(seconds: float = 20.0):
    """End what takes so much CPU time, however busy the machine is; and what waits for so long, as on a pipe."""

    def stop(*_):
        raise HangError

    kinds = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, 30 * seconds))
    before = [signal.signal(kind, stop) for _, kind, _ in kinds]
    for timer, _, limit in kinds:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for (timer, kind, _), handler in zip(kinds, before):
            signal.setitimer(timer, 0)
            signal.signal(kind, handler)


def outcome(read, folder: Path):
    """What a reader gives, or its DataError, whose message must be printable and say where the fault is."""
    try:
        with cpu_limit():
            return read()
    except DataError as error:
        message = str(error)
        message.encode()
        assert str(folder) in message and len(message) < 20_000
        return error
