"""An event loop whose time is virtual: it never waits, it jumps to the next timer. For simulations; no real I/O."""

import asyncio
import math
import selectors
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

BUSY = 100_000


class Stalled(RuntimeError):
    """Everybody waits for something that will never come."""


class Busy(RuntimeError):
    """The loop goes round and round and no time passes: somebody spins."""


class _Jump(selectors.SelectSelector):
    """A selector that lets virtual time pass instead of waiting, and never asks the operating system."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.now = start
        self.rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("nothing is scheduled and nothing is ready")
        if timeout > 0:
            # Added to a big number a small one may vanish; time has to move all the same.
            self.now = max(self.now + timeout, math.nextafter(self.now, math.inf))
            self.rounds = 0
        else:
            self.rounds += 1
            if self.rounds > BUSY:
                self.rounds = 0
                raise Busy(f"{BUSY} rounds at {self.now} without a pause")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` starts at `start` seconds and moves only when every task waits for a timer.

    What took a minute takes microseconds, and the same every time. Waiting for what no timer brings raises `Stalled`, a
    busy loop `Busy`. As a context manager it cancels what is left and closes.
    """

    def __init__(self, start: float = 1_000.0) -> None:
        self._jump = _Jump(start)
        self.failures: list[dict[str, Any]] = []
        super().__init__(self._jump)
        self.set_exception_handler(lambda loop, context: self.failures.append(context))

    def time(self) -> float:
        """Virtual seconds."""
        return self._jump.now

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end; other tasks go on meanwhile, and stay for the next run."""
        return self.run_until_complete(work)

    def run_for(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.run_until_complete(asyncio.sleep(seconds))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def finish(self) -> None:
        """Cancel what is left, and close."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        if not self.is_closed():
            self.run_until_complete(asyncio.sleep(0))
            self.run_until_complete(self.shutdown_asyncgens())
            self.close()


def run(work: Coroutine[Any, Any, T], *, start: float = 1_000.0) -> T:
    """Run `work` on a virtual loop of its own, like `asyncio.run`. Raises what a forgotten task raised."""
    with VirtualLoop(start) as loop:
        result = loop.run(work)
        assert not loop.failures, loop.failures
        return result
