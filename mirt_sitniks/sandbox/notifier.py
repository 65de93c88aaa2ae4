"""Tells waiting threads and coroutines that something in the sandbox changed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class ChangeNotifier:
    """One lock for all of the sandbox's state, and the news that it changed.

    `with notifier:` guards reading and writing (re-entrant). `notify()` wakes `wait()` in threads and `listen()` in
    coroutines.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: set[asyncio.Event] = set()

    def __enter__(self) -> None:
        self._condition.acquire()

    def __exit__(self, *exc: object) -> None:
        self._condition.release()

    def bind(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Name the loop whose coroutines listen; None when it is about to close."""
        with self:
            self._loop = loop

    def notify(self) -> None:
        """Wake everyone, from any thread."""
        with self:
            self._version += 1
            self._condition.notify_all()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for event in self._listeners:
            event.set()

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """An event that is set at every change; the coroutine clears it."""
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            yield event
        finally:
            self._listeners.discard(event)

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Block the thread until `condition()` is true; False when it is not within `seconds` real seconds."""
        end = time.monotonic() + seconds
        while True:
            version = self._version
            # Asked without the lock, for a condition may well be a call to the sandbox's server.
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self:
                # Some conditions come true by time alone (a late change, a chat that appears): look now and then.
                if self._version == version:
                    self._condition.wait(min(left, 0.02))
