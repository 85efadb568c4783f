"""Ctrl-C and SIGTERM while training runs: work is finished in order, and what is being written is written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: A scheduler that ends a job sends SIGTERM first.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Within the block SIGTERM raises KeyboardInterrupt, as Ctrl-C does; other threads than the main one can't change that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interrupts:
    """Counts the signals that ask for an end, for a loop that looks at ``count`` between its steps.

    The first one changes nothing else. A Ctrl-C after it raises KeyboardInterrupt: at once, or, within :meth:`shield`, when
    that is done. A further SIGTERM never does, since schedulers may send several.
    """

    def __init__(self):
        self.count = 0
        self._shields, self._held = 0, False

    def _receive(self, number, frame) -> None:
        self.count += 1
        if self.count > 1 and number == signal.SIGINT:
            self._held = True
            self._give_way()

    def _give_way(self) -> None:
        if self._held and not self._shields:
            self._held = False
            raise KeyboardInterrupt

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Take the signals over within the block; other threads than the main one can't, and leave them as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """No signal that :meth:`listen` hears cuts the block off."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self._give_way()
