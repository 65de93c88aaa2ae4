"""A service's life in one process: its I/O thread, and the runtime that lives on it."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from mirt_sitniks.engine.io_thread import IoThread
from mirt_sitniks.engine.runtime import Runtime

T = TypeVar("T")


class Life:
    """From the first use to the end: `make` makes the runtime on the thread, once in each process that uses it.

    Nothing is opened before the first use; a process that was forked begins with a thread and a runtime of its own.
    """

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self.io = IoThread()
        self._pid = 0
        self.runtime: Runtime | None = None
        self.opening: asyncio.Future[None] | None = None

    def run(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Begin `work` on the thread. What stops waiting for it does not stop it."""

        async def on_thread() -> T:
            if self.runtime is None or self._pid != os.getpid():
                self.runtime, self._pid = self._make(), os.getpid()
                # It is made while the store is asked.
                self.opening = asyncio.ensure_future(self.runtime.client.open())
            return await work(self.runtime)

        return self.io.submit(on_thread)

    def close(self) -> "Future[None] | None":
        """Begin to close what was opened in this process, if anything was."""
        return self.io.submit(self.runtime.aclose) if self.runtime and self._pid == os.getpid() else None

    def stop(self) -> None:
        """End the thread; whoever still waits is told so."""
        self.io.stop()
