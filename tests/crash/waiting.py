"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable


def wait_until(
    check: Callable[[], bool], seconds: float, what: Callable[[], object] = lambda: "", every: float = 0.01
) -> None:
    """Ask again `every` so many seconds; TimeoutError with `what()` when it is not so within `seconds`."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what()}")
        time.sleep(every)
