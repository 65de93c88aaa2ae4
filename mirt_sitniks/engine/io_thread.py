"""One daemon thread with one event loop, where all of a service's I/O happens, whoever calls from wherever."""

import asyncio
import contextvars
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from mirt_sitniks.engine.runtime import Runtime
from mirt_sitniks.process.forks import at_fork

T = TypeVar("T")

OVER = "the I/O thread was stopped"


class IoThread:
    """Started by the first `submit`, and again in a process that was forked; once stopped it takes nothing more.

    `make` makes the runtime that lives on it, on first use, once in each process.

    `invoke`, `ainvoke`, many `asyncio.run` and plain threads all hand their work over here and wait as long as they
    like; what they stop waiting for goes on.
    """

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make, self._pid = make, 0
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[tuple[Callable[[], Coroutine[Any, Any, Any]], Future[Any]]] = []
        self._stopped = False

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Run `work()` on the thread's loop; the coroutine is made there. RuntimeError when that is over."""
        future: Future[T] = Future()
        with self._lock:
            loop = self._running()
            self._waiting.append((work, future))
            first = len(self._waiting) == 1
        if first:
            # One wake-up for all that is handed over until then: each would let the thread run in between, and a
            # hundred syncs at once would keep the caller's own loop waiting.
            # In a context of its own: what a worker begins outlives the request that was the first to come.
            loop.call_soon_threadsafe(self._begin, context=contextvars.Context())
        return future

    def run(self, work: Callable[[Runtime], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Begin `work` on what lives on the thread. What stops waiting for it does not stop it."""

        async def on_thread() -> T:
            if self._pid != os.getpid():
                self._runtime, self._pid = self._make(), os.getpid()
                # It is made while the store is asked.
                self._opening = asyncio.ensure_future(self._runtime.client.open())
            return await work(self._runtime)

        return self.submit(on_thread)

    def another(self) -> "IoThread":
        """One for whoever comes after this one."""
        return IoThread(self._make)

    def close(self) -> "Future[None] | None":
        """Begin to close what was opened in this process, if anything was."""
        return self.submit(self._runtime.aclose) if self._pid == os.getpid() else None

    def stop(self) -> None:
        """End the loop and with it the thread; who still waits is told so."""
        with self._lock:
            self._stopped = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None
            left, self._waiting = self._waiting, []
        for _, future in left:
            if future.set_running_or_notify_cancel():
                future.set_exception(RuntimeError(OVER))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._stopped:
            raise RuntimeError(OVER)
        if self._loop is None:
            loop = asyncio.new_event_loop()
            try:
                threading.Thread(target=_run, args=(loop,), name="sitniks-io", daemon=True).start()
            except RuntimeError:
                # No more threads for now: the next one tries again.
                loop.close()
                raise
            self._loop = loop
        return self._loop

    def _begin(self) -> None:
        with self._lock:
            begun, self._waiting = self._waiting, []
        for work, future in begun:
            self._start(work, future)

    @staticmethod
    def _start(work: Callable[[], Coroutine[Any, Any, T]], future: "Future[T]") -> None:
        task = asyncio.ensure_future(work())
        _TASKS.add(task)

        def finish(done: "asyncio.Task[T]") -> None:
            _TASKS.discard(done)
            if future.cancelled() or not future.set_running_or_notify_cancel():
                return
            if done.cancelled():
                future.set_exception(RuntimeError(OVER))
            elif error := done.exception():
                future.set_exception(error)
            else:
                future.set_result(done.result())

        task.add_done_callback(finish)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        loop.close()


_ALL: "weakref.WeakSet[IoThread]" = weakref.WeakSet()
_TASKS: "set[asyncio.Task[Any]]" = set()


def _after_fork() -> None:
    """A child has none of its parent's threads, and must not touch its loop or locks."""
    _TASKS.clear()
    for thread in _ALL:
        thread._reset()


at_fork(in_child=_after_fork)
