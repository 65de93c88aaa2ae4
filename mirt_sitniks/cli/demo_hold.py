"""How long the demo's board outlives the demo: on a terminal until Enter, or some seconds; elsewhere not at all."""

import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress


def on_terminal() -> bool:
    """Whether somebody is there to look: standard input and output are both a terminal's."""
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stdout))


def hold(seconds: float | None, say: Callable[[], None]) -> None:
    """`say` it, and return at Enter or Ctrl+D, with `seconds` after these instead; at Ctrl+C or SIGTERM at once."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt, OSError):
            say()
            if seconds is None:
                # As bytes: what is typed need not be text.
                sys.stdin.buffer.readline()
            else:
                threading.Event().wait(seconds)
    finally:
        signal.signal(signal.SIGTERM, before)
