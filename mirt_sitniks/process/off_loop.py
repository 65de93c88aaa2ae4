"""Reading a file in code that cannot await, and may be called where an event loop runs."""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from queue import SimpleQueue
from typing import TypeVar

from mirt_sitniks.process.forks import held_off

T = TypeVar("T")


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

    try:
        asyncio.get_running_loop()
        threading.Thread(target=run, name="sitniks-off-loop", daemon=True).start()
    except RuntimeError:
        # There is no loop here, or there are no more threads for now.
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

    try:
        asyncio.get_running_loop()
        if not all(name in sys.modules for name in names):
            threading.Thread(target=run, name="sitniks-loading", daemon=True).start()
    except RuntimeError:
        run()


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
