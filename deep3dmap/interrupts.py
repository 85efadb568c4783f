"""Ctrl-C and SIGTERM during training: the current step and writes in progress are completed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: A scheduler that ends a job sends SIGTERM first.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """Within the block SIGTERM raises KeyboardInterrupt, as Ctrl-C does; no effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Interrupts:
    """Counts termination signals, for a loop that checks ``count`` between its steps.

    The first signal is only counted. A further Ctrl-C raises KeyboardInterrupt: at once, or at the end of :meth:`shield`. A
    further SIGTERM never does, since schedulers may send several.
    """

    def __init__(self):
        self.count = 0
        self._shields, self._held = 0, False

    def _receive(self, number, frame) -> None:
        self.count += 1
        if self.count > 1 and number == signal.SIGINT:
            self._held = True
            self._raise_held()

    def _raise_held(self) -> None:
        if self._held and not self._shields:
            self._held = False
            raise KeyboardInterrupt

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handle the signals within the block; no effect outside the main thread."""
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
        """Defer KeyboardInterrupt to the end of the block."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        self._raise_held()
