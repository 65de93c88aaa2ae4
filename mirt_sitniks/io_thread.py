"""One daemon thread with one event loop, where all of a service's I/O happens, whoever calls from wherever."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class IoThread:
    """Started by the first `submit`, and again in a process that was forked.

    `invoke`, `ainvoke`, many `asyncio.run` and plain threads all hand their work over here and wait as long as they
    like; what they stop waiting for goes on.
    """

    def __init__(self, name: str = "sitniks-io") -> None:
        self._name = name
        self._reset()
        _ALL.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Callable[[], None]] = []
        self._pid = os.getpid()

    @property
    def pid(self) -> int:
        """The process that the thread belongs to."""
        return self._pid

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Run `work()` on the thread's loop; the coroutine is made there."""
        future: Future[T] = Future()
        with self._lock:
            loop, waiting = self._running(), self._waiting
            waiting.append(lambda: self._start(work, future))
            first = len(waiting) == 1
        if first:
            # One wake-up for all that is handed over until then: each would let the thread run in between, and a
            # hundred syncs at once would keep the caller's own loop waiting.
            loop.call_soon_threadsafe(self._begin, waiting)
        return future

    def stop(self) -> None:
        """End the loop and with it the thread; the next `submit` starts another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            # What still waits for a loop that was stopped is that loop's.
            self._loop, self._waiting = asyncio.new_event_loop(), []
            threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True).start()
        return self._loop

    def _begin(self, waiting: list[Callable[[], None]]) -> None:
        with self._lock:
            work = waiting.copy()
            waiting.clear()
        for start in work:
            start()

    @staticmethod
    def _start(work: Callable[[], Coroutine[Any, Any, T]], future: "Future[T]") -> None:
        task = asyncio.ensure_future(work())
        _TASKS.add(task)

        def finish(done: "asyncio.Task[T]") -> None:
            _TASKS.discard(done)
            if future.cancelled() or not future.set_running_or_notify_cancel():
                return
            if done.cancelled():
                future.set_exception(RuntimeError("the I/O thread was stopped"))
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
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


_ALL: "weakref.WeakSet[IoThread]" = weakref.WeakSet()
_TASKS: "set[asyncio.Task[Any]]" = set()


def _after_fork() -> None:
    """A child has none of its parent's threads, and must not touch its loop or locks."""
    _TASKS.clear()
    for thread in _ALL:
        thread._reset()


os.register_at_fork(after_in_child=_after_fork)
