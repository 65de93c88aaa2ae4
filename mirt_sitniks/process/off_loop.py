"""Reading a file in code that cannot await, and may be called where an event loop runs."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from typing import Any, TypeVar

from mirt_sitniks.process.forks import held_off

T = TypeVar("T")
Wait = Callable[["Future[Any]", float], Awaitable[Any]]
"""How a caller waits for what a thread does, for so many seconds; the work goes on, whatever comes of the waiting."""


def has_loop() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        return bool(asyncio.get_running_loop())
    except RuntimeError:
        return False


def without_loop(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never gives way: where it waits, it holds up its thread."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("this coroutine waits for an event loop")


async def awaited(begun: "Future[Any]", seconds: float) -> Any:
    """Wait for what another thread does, where an event loop runs; what is cancelled is the waiting."""
    return await asyncio.wait_for(asyncio.wrap_future(begun), seconds)


async def blocked(begun: "Future[Any]", seconds: float) -> Any:
    """The same in a plain thread, which stands still."""
    return begun.result(seconds)


async def left_alone(begun: "Future[Any]", seconds: float) -> None:
    """Do not wait at all."""


def off_loop(work: Callable[[], T]) -> T:
    """The result of `work`, or what it raises; where an event loop runs, a thread of its own does it meanwhile.

    For what takes moments, because the caller waits all the same: LangGraph's dev server refuses every call on a loop
    that may read from a disk.
    """
    future: Future[T] = Future()
    ended: SimpleQueue[None] = SimpleQueue()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        ended.put(None)

    if not has_loop():
        return work()
    try:
        threading.Thread(target=run, name="sitniks-off-loop", daemon=True).start()
    except RuntimeError:
        # There are no more threads for now.
        return work()
    # To wait for the future or the thread is to wait for a lock, which is refused as well.
    ended.get()
    return future.result()


def load_early(*names: str) -> None:
    """Load modules before they are needed: here, or in a thread where an event loop runs.

    Some of them hold up every thread of the process for longer than a loop may wait. A name that is not there (any
    more) is nobody's loss: what needs it loads it by itself.
    """

    def run() -> None:
        # A child that is forked while a module is loaded waits for that module for ever.
        with held_off():
            for name in names:
                with suppress(Exception):
                    import_module(name)

    if not has_loop():
        run()
    elif not all(name in sys.modules for name in names):
        with suppress(RuntimeError):
            threading.Thread(target=run, name="sitniks-loading", daemon=True).start()


async def load(make: Callable[[], T]) -> T:
    """What `make` builds of modules and files, in a thread; no fork meets that.

    httpx comes with all that it would load with its first request, for a tenth of a second.
    """
    return await asyncio.get_running_loop().run_in_executor(None, _load, make)


def _load(make: Callable[[], T]) -> T:
    import anyio

    with held_off():
        # It loads its part for asyncio with its first run.
        anyio.run(anyio.sleep, 0)
        return make()
